/**
 * Test-time training (Eagle-3, arXiv 2503.01840, section 3.2): the draft is run several steps from every row, on its own
 * output, as it will be when it proposes. Keys of earlier steps stay: at step s a row sees the verifier-fed rows up to
 * itself and its own draft rows, one a step, which is exactly the chain that it would be decoding.
 */
import type { PackedBatch } from "../../core/data/batch.ts";
import type { Part } from "../../core/tape.ts";
import type { Backend, Run, Tensor } from "../../core/tensor.ts";
import { attention, concat, gather } from "../../kernels/ops/mod.ts";
import type { ChainDraft } from "./chain_draft.ts";
import type { DecoderContext } from "./decoder.ts";
import { ropeTables } from "./rope.ts";

/** Rows with a target at some step; the others need not draft, since nothing that is asked for depends on them. */
export function draftingRows(lossMask: Uint8Array, steps: number): Int32Array {
  const rows: number[] = [];
  for (let t = 0; t < lossMask.length; t++) {
    if (lossMask.subarray(t, t + steps).includes(1)) rows.push(t);
  }
  return Int32Array.from(rows);
}

/** The tokens of the text that a step would be fed, were the draft always right; 0 past the end. */
export function trueTokens({ tokens }: PackedBatch, rows: Int32Array, step: number): Int32Array {
  return Int32Array.from(rows, (row) => tokens[row + step] ?? 0);
}

/** Which rows are unrolled, and how far. */
export interface UnrollOptions {
  /** Where uploads go. */
  readonly backend: Backend;
  /** Steps. */
  readonly steps: number;
  /** Runs a step without keeping its inner tensors, where it may. */
  readonly part?: Part | undefined;
  /** Rows that draft; all when `null`. The others give keys and values to the first step, and nothing else. */
  readonly rows?: Int32Array | null;
}

/**
 * Which keys of the first step a row sees: those of its document up to itself; a row of padding sees itself. i32 `[A, 2]`
 * for the rows asked for, all when `null`.
 */
export function unrollRanges(documents: Int32Array, rows: Int32Array | null = null): Int32Array {
  const starts = new Int32Array(documents.length);
  for (let t = 0; t < starts.length; t++) {
    const goesOn = t > 0 && documents[t]! >= 0 && documents[t] === documents[t - 1];
    starts[t] = goesOn ? starts[t - 1]! : t;
  }
  const count = rows?.length ?? documents.length;
  const ranges = new Int32Array(2 * count);
  for (let i = 0; i < count; i++) {
    const row = rows ? rows[i]! : i;
    ranges[2 * i] = starts[row]!;
    ranges[2 * i + 1] = row + 1;
  }
  return ranges;
}

/** A layer's keys and values, a tensor each step. */
interface Keys {
  readonly keys: readonly Tensor[];
  readonly values: readonly Tensor[];
}

/** The steps of one batch, in turn. */
export class Unroll {
  readonly #part: Part;
  readonly #draft: ChainDraft;
  readonly #backend: Backend;
  readonly #context: Omit<DecoderContext, "attend" | "ask">;
  readonly #ranges: { readonly all: Tensor; readonly asked: Tensor };
  readonly #rows: Tensor | null;
  readonly #asked: Int32Array;
  /** Keys of each layer, and values, of the steps so far. */
  #cache: readonly Keys[];
  #hidden: Tensor;
  #step = 0;

  /** Uploads what the steps share, and brings the verifier's states to the draft's width. */
  constructor(run: Run, draft: ChainDraft, batch: PackedBatch, options: UnrollOptions) {
    const { backend, rows = null, steps } = options, { layers, headDim, eps } = draft.sizes;
    const length = batch.tokens.length;
    this.#part = options.part ?? ((part) => part(run));
    this.#draft = draft;
    this.#backend = backend;
    const last = batch.positions.reduce((most, p) => Math.max(most, p), 0);
    const tables = ropeTables(backend, {
      ...draft.rope,
      headDim,
      positions: last + steps,
      maxPositions: draft.rope.maxPositions ?? last + steps,
    });
    this.#context = { headDim, eps, tables, positions: backend.from(batch.positions, [length]) };
    this.#asked = rows ? Int32Array.from(rows, (row) => batch.positions[row]!) : batch.positions;
    this.#rows = rows && backend.from(rows, [rows.length]);
    const all = backend.from(unrollRanges(batch.documents), [length, 2]);
    const asked = rows ? backend.from(unrollRanges(batch.documents, rows), [rows.length, 2]) : all;
    this.#ranges = { all, asked };
    this.#cache = Array.from({ length: layers }, () => ({ keys: [], values: [] }));
    this.#hidden = draft.enter(run, backend.from(batch.hidden, [length, batch.auxWidth]));
  }

  /**
   * One step.
   *
   * @param ids i32, the verifier's ids: the batch's tokens at the first step, then one for each row that drafts
   * @returns f32 `[A, H]`, the pass's output
   */
  next(ids: Tensor): Tensor {
    const backend = this.#backend, step = this.#step++;
    const asked = step === 0 && !this.#rows
      ? this.#context.positions
      : backend.from(this.#asked.map((p) => p + step), [this.#asked.length]);
    const last = this.#draft.sizes.layers - 1, from = this.#hidden, cache = this.#cache;
    const [hidden, ...kept] = this.#part((run) => {
      const own: Tensor[] = [];
      const passed = this.#draft.pass(run, {
        ids,
        hidden: from,
        context: (layer) => {
          const rows = step === 0 && layer === last ? this.#rows : null;
          return {
            ...this.#context,
            positions: step === 0 ? this.#context.positions : asked,
            ...(rows ? { ask: { pick: (x) => gather(run, x, rows), positions: asked } } : {}),
            attend: (q, k, v) => {
              own.push(k, v);
              const { keys, values } = cache[layer]!;
              return this.#attend(run, q, { keys: [...keys, k], values: [...values, v] });
            },
          };
        },
      });
      return [passed, ...own];
    });
    this.#cache = cache.map(({ keys, values }, layer) => ({
      keys: [...keys, kept[2 * layer]!],
      values: [...values, kept[2 * layer + 1]!],
    }));
    this.#hidden = hidden!;
    return this.#hidden;
  }

  #attend(run: Run, q: Tensor, { keys, values }: Keys): Tensor {
    const { heads, kvHeads, headDim } = this.#draft.sizes;
    const ranges = q.shape[0] === this.#ranges.asked.shape[0] ? this.#ranges.asked : this.#ranges.all;
    const join = (parts: readonly Tensor[]) => parts.length === 1 ? parts[0]! : concat(run, parts, 0);
    return attention(run, { q, k: join(keys), v: join(values), ranges }, {
      heads,
      kvHeads,
      headDim,
      scale: headDim ** -0.5,
      diagonals: keys.length - 1,
    });
  }
}
