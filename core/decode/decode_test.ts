import assert from "node:assert/strict";
import * as ops from "../../kernels/ops/mod.ts";
import { ReferenceBackend } from "../../tests/conformance/reference/backend.ts";
import type { ForwardInput, KvCache, ProposeInput, Proposer, VerifierModel } from "../plugin.ts";
import type { Backend } from "../tensor.ts";
import { Acceptance } from "./acceptance.ts";
import { decode, type DecodeOptions } from "./decode.ts";

const VOCABULARY = 7, EOS = 6;

/** The next token of the toy language: it depends on the last two. */
function next(before: number, last: number): number {
  return (3 * before + 5 * last + 1) % (VOCABULARY - 1);
}

/** A verifier of the toy language: row r's logits favour what follows tokens 0 … r; its hidden state is the row's position. */
function toyVerifier(backend: Backend, maxPositions = 64, temper = 4): VerifierModel & { passes: number } {
  const model = {
    info: { maxPositions, eosTokenIds: [EOS], hiddenSize: 1, layers: 1 } as unknown as VerifierModel["info"],
    backend,
    passes: 0,
    cache(capacity: number): KvCache & { tokens: number[] } {
      const tokens: number[] = [];
      return {
        capacity,
        tokens,
        get length() {
          return tokens.length;
        },
        truncate: (length) => void tokens.splice(length),
        keep: (start, rows) =>
          void tokens.splice(start, Infinity, ...rows.map((row) => tokens[start + row]!)),
        [Symbol.dispose]() {},
      };
    },
    forward({ tokens, cache, capture = [], logits = "all" }: ForwardInput) {
      model.passes++;
      const seen = (cache as ReturnType<typeof model.cache>).tokens, start = seen.length;
      const fresh = tokens instanceof Int32Array
        ? tokens
        : Int32Array.from((tokens as unknown as { data: Float64Array }).data);
      seen.push(...fresh);
      assert.ok(seen.length <= cache!.capacity, "more rows than the cache has");
      const rows = logits === "last" ? [seen.length - 1] : Array.from(fresh, (_, i) => start + i);
      const values = new Float32Array(rows.length * VOCABULARY);
      rows.forEach((row, i) => values[i * VOCABULARY + next(seen[row - 1] ?? 0, seen[row]!)] = temper);
      const positions = Float32Array.from(fresh, (_, i) => start + i);
      return {
        logits: logits === "none" ? null : backend.from(values, [rows.length, VOCABULARY]),
        hidden: capture.map(() => backend.from(positions, [fresh.length, 1])),
      };
    },
    [Symbol.dispose]() {},
  };
  return model;
}

/** A draft that is right where `right(position)` says so; it checks what it is told. */
function toyDraft(
  backend: Backend,
  right: (position: number) => boolean,
  inputs: ProposeInput[] = [],
): Proposer {
  return {
    start: () => {
      let expected = 0;
      return {
        propose(input) {
          inputs.push(input);
          const { history, position, hidden, count } = input,
            states = hidden[0] as unknown as { data: Float64Array };
          assert.equal(position, expected);
          assert.deepEqual(
            Array.from(states.data),
            Array.from({ length: history.length - 1 - position }, (_, i) => position + i),
          );
          expected = history.length - 1;
          const text = [...history], tokens: number[] = [];
          for (let i = 0; i < count; i++) {
            const token = next(text.at(-2) ?? 0, text.at(-1)!);
            tokens.push(right(text.length) ? token : (token + 1) % VOCABULARY);
            text.push(token);
          }
          return {
            tokens: backend.from(Int32Array.from(tokens), [count]),
            parents: tokens.map((_, i) => i - 1),
          };
        },
        [Symbol.dispose]() {},
      };
    },
    [Symbol.dispose]() {},
  };
}

async function write(model: VerifierModel, prompt: number[], options: Omit<DecodeOptions, "ops">) {
  const tokens: number[] = [], acceptance = new Acceptance();
  for await (const round of decode(model, Int32Array.from(prompt), { ...options, ops })) {
    if (round.proposed.length > 0) acceptance.add(round.proposed.length, round.accepted);
    tokens.push(...round.tokens);
  }
  return { tokens, rates: acceptance.rates() };
}

Deno.test("speculation writes what the verifier writes alone, whatever the draft is worth", async () => {
  using backend = new ReferenceBackend();
  const plain = await write(toyVerifier(backend), [1, 2, 3], { maxTokens: 20 });
  assert.equal(plain.tokens.length, 20);
  for (const right of [() => true, () => false, (p: number) => p % 3 !== 0, (p: number) => p % 5 < 3]) {
    for (const prefillRows of [1, 2, 512]) {
      const draft = { name: "toy", proposer: toyDraft(backend, right), layers: [0] };
      const drafted = await write(toyVerifier(backend), [1, 2, 3], { maxTokens: 20, draft, prefillRows });
      assert.deepEqual(drafted.tokens, plain.tokens);
    }
  }
  assert.equal(backend.memory().live, 0);
});

Deno.test("a draft that is always right gains its whole proposal, one that is never right gains nothing", async () => {
  using backend = new ReferenceBackend();
  const run = async (right: boolean) => {
    const model = toyVerifier(backend),
      draft = { name: "toy", proposer: toyDraft(backend, () => right), layers: [0] };
    const { rates } = await write(model, [1, 2], { maxTokens: 17, draft, numSpecTokens: 3 });
    return { rates, passes: model.passes };
  };
  const good = await run(true), bad = await run(false);
  assert.equal(good.rates.mean_accepted_length, 4);
  assert.equal(good.passes, 1 + 4);
  assert.equal(bad.rates.mean_accepted_length, 1);
  assert.equal(bad.passes, 17);
});

Deno.test("a text ends at its end token, and at the model's last position", async () => {
  using backend = new ReferenceBackend();
  const draft = () => ({ name: "toy", proposer: toyDraft(backend, () => true), layers: [0] });
  const whole = (await write(toyVerifier(backend), [1, 2], { maxTokens: 12 })).tokens;
  const cut = await write(toyVerifier(backend), [1, 2], {
    maxTokens: 12,
    draft: draft(),
    eosTokenIds: [whole[4]!],
  });
  assert.deepEqual(cut.tokens, whole.slice(0, whole.indexOf(whole[4]!) + 1));
  const short = await write(toyVerifier(backend, 10), [1, 2], { maxTokens: 12, draft: draft() });
  const shortPlain = await write(toyVerifier(backend, 10), [1, 2], { maxTokens: 12 });
  assert.deepEqual(short.tokens, shortPlain.tokens);
  assert.deepEqual(short.tokens, whole.slice(0, 8));
});

Deno.test("sampling through speculation keeps the verifier's distribution", async () => {
  using backend = new ReferenceBackend();
  let seed = 12345;
  const uniform = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const counts = { plain: new Map<string, number>(), drafted: new Map<string, number>() }, n = 3000;
  for (let i = 0; i < n; i++) {
    const common = { maxTokens: 2, sampling: { temperature: 2 }, uniform, eosTokenIds: [] };
    const plain = await write(toyVerifier(backend), [1, 2], common);
    const draft = { name: "toy", proposer: toyDraft(backend, (p) => p % 2 === 0), layers: [0] };
    const drafted = await write(toyVerifier(backend), [1, 2], { ...common, draft });
    for (const [name, { tokens }] of [["plain", plain], ["drafted", drafted]] as const) {
      counts[name].set(tokens.join(), (counts[name].get(tokens.join()) ?? 0) + 1);
    }
  }
  let chi = 0, cells = 0;
  for (const key of new Set([...counts.plain.keys(), ...counts.drafted.keys()])) {
    const a = counts.plain.get(key) ?? 0, b = counts.drafted.get(key) ?? 0;
    if (a + b < 10) continue;
    chi += (a - b) ** 2 / (a + b);
    cells++;
  }
  // Mean `cells`, standard deviation sqrt(2 · cells): four of them away is a chance of about 1 in 10 000.
  assert.ok(cells > 20 && chi < cells + 4 * Math.sqrt(2 * cells), `chi² ${chi} over ${cells} cells`);
});

Deno.test("a draft that breaks the contract is named", async () => {
  using backend = new ReferenceBackend();
  const propose = async (proposal: () => { tokens: ReturnType<Backend["from"]>; parents: number[] }) => {
    const proposer: Proposer = {
      start: () => ({ propose: proposal, [Symbol.dispose]() {} }),
      [Symbol.dispose]() {},
    };
    await write(toyVerifier(backend), [1], { maxTokens: 4, draft: { name: "toy", proposer, layers: [] } });
  };
  const tokens = (...ids: number[]) => backend.from(Int32Array.from(ids), [ids.length]);
  await assert.rejects(
    propose(() => ({ tokens: tokens(1, 2), parents: [-1] })),
    /plugin "toy".*a parent each/,
  );
  await assert.rejects(propose(() => ({ tokens: tokens(1, 2), parents: [-1, -1] })), /a chain/);
  await assert.rejects(propose(() => ({ tokens: tokens(1, 2, 3, 4), parents: [-1, 0, 1, 2] })), /at most 3/);
  await assert.rejects(
    propose(() => {
      throw new TypeError("oops");
    }),
    (error: Error) =>
      /failed while proposing/.test(error.message) && (error.cause as Error).message === "oops",
  );
});

Deno.test("tokens out of range are rejected like any wrong ones", async () => {
  using backend = new ReferenceBackend();
  const proposer: Proposer = {
    start: () => ({
      propose: () => ({ tokens: backend.from(Int32Array.of(99, -1), [2]), parents: [-1, 0] }),
      [Symbol.dispose]() {},
    }),
    [Symbol.dispose]() {},
  };
  const draft = { name: "toy", proposer, layers: [] };
  const plain = await write(toyVerifier(backend), [1, 2], { maxTokens: 8 });
  assert.deepEqual((await write(toyVerifier(backend), [1, 2], { maxTokens: 8, draft })).tokens, plain.tokens);
});

Deno.test("an empty prompt and one without room are refused", async () => {
  using backend = new ReferenceBackend();
  await assert.rejects(write(toyVerifier(backend), [], { maxTokens: 4 }), /at least one token/);
  await assert.rejects(write(toyVerifier(backend, 3), [1, 2, 3], { maxTokens: 4 }), /3 positions/);
});
