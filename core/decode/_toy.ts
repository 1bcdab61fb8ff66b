/** A language of seven tokens, its verifier and drafts of it, for the tests of decoding. */
import assert from "node:assert/strict";
import type {
  ForwardInput,
  KvCache,
  ProposeInput,
  Proposer,
  SequenceRows,
  VerifierModel,
} from "../plugin.ts";
import type { Backend, Tensor } from "../tensor.ts";

/** Tokens of the language. */
export const VOCABULARY = 7;
/** The one that ends a text; it never follows. */
export const EOS = 6;

/** The next token: it depends on the last two. */
export function next(before: number, last: number): number {
  return (3 * before + 5 * last + 1) % (VOCABULARY - 1);
}

/** What the toy verifier keeps of a sequence: its tokens. */
interface ToyCache extends KvCache {
  readonly tokens: number[];
}

/** A verifier of the language that counts. */
export interface ToyVerifier extends VerifierModel {
  /** Passes so far. */
  passes: number;
  /** Caches that are not disposed of. */
  open: number;
}

function dataOf(tensor: Tensor): number[] {
  return Array.from((tensor as unknown as { data: Float64Array }).data);
}

/** A verifier: a row's logits favour what follows its tokens; its hidden state is its position. */
export function toyVerifier(backend: Backend, maxPositions = 64, temper = 4): ToyVerifier {
  const info = { maxPositions, eosTokenIds: [EOS], hiddenSize: 1, layers: 1, vocabSize: VOCABULARY };
  const model: ToyVerifier = {
    info: info as unknown as VerifierModel["info"],
    backend,
    passes: 0,
    open: 0,
    cache(capacity: number): ToyCache {
      const tokens: number[] = [];
      model.open++;
      return {
        capacity,
        tokens,
        get length() {
          return tokens.length;
        },
        truncate: (length) => void tokens.splice(length),
        keep(start, rows) {
          tokens.splice(start, Infinity, ...rows.map((row) => tokens[start + row]!));
        },
        [Symbol.dispose]: () => void model.open--,
      };
    },
    forward({ tokens, cache, sequences, parents, capture = [], logits = "all" }: ForwardInput) {
      model.passes++;
      const fresh = tokens instanceof Int32Array ? [...tokens] : dataOf(tokens);
      const all: readonly SequenceRows[] = sequences ?? [{ cache: cache!, rows: fresh.length }];
      const values: number[] = [], positions: number[] = [];
      let first = 0;
      for (const { cache, rows, logits: own = logits } of all) {
        const seen = (cache as ToyCache).tokens, paths: number[][] = [];
        for (let i = 0; i < rows; i++) {
          const parent = parents ? parents[first + i]! : i - 1;
          const path = [...parent < 0 ? seen : paths[parent]!, fresh[first + i]!];
          paths.push(path);
          positions.push(path.length - 1);
          if (own === "none" || (own === "last" && i + 1 < rows)) continue;
          const row = new Array(VOCABULARY).fill(0);
          row[next(path.at(-2) ?? 0, path.at(-1)!)] = temper;
          values.push(...row);
        }
        seen.push(...fresh.slice(first, first + rows));
        assert.ok(seen.length <= cache.capacity, "more rows than the cache has");
        first += rows;
      }
      assert.equal(first, fresh.length);
      const rows = values.length / VOCABULARY;
      return {
        logits: rows === 0 ? null : backend.from(Float32Array.from(values), [rows, VOCABULARY]),
        hidden: capture.map(() => backend.from(Float32Array.from(positions), [positions.length, 1])),
      };
    },
    [Symbol.dispose]() {},
  };
  return model;
}

/** How a toy draft proposes. */
export interface ToyDraftOptions {
  /** Whether it is right about the token at a position. */
  readonly right: (position: number) => boolean;
  /** Wrong tokens beside each one it proposes, before it: then it proposes trees. */
  readonly beside?: number;
  /** Takes what it is told. */
  readonly inputs?: ProposeInput[];
}

/** A draft; it checks what it is told. */
export function toyDraft(backend: Backend, { right, beside = 0, inputs = [] }: ToyDraftOptions): Proposer {
  return {
    start: () => {
      let expected = 0;
      return {
        propose(input) {
          inputs.push(input);
          const { history, position, hidden, count } = input;
          assert.equal(position, expected);
          assert.deepEqual(
            dataOf(hidden[0]!),
            Array.from({ length: history.length - 1 - position }, (_, i) => position + i),
          );
          expected = history.length - 1;
          const text = [...history], tokens: number[] = [], parents: number[] = [];
          for (let parent = -1; tokens.length + beside < count; parent = tokens.length - 1) {
            const token = next(text.at(-2) ?? 0, text.at(-1)!), wrong = right(text.length) ? 1 : 2;
            for (let i = 0; i < beside; i++) {
              tokens.push((token + wrong + i) % VOCABULARY);
              parents.push(parent);
            }
            tokens.push(right(text.length) ? token : (token + 1) % VOCABULARY);
            parents.push(parent);
            text.push(token);
          }
          return { tokens: backend.from(Int32Array.from(tokens), [tokens.length]), parents };
        },
        [Symbol.dispose]() {},
      };
    },
    [Symbol.dispose]() {},
  };
}
