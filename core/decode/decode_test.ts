import assert from "node:assert/strict";
import * as ops from "../../kernels/ops/mod.ts";
import { ReferenceBackend } from "../../tests/conformance/reference/backend.ts";
import type { Proposer, VerifierModel } from "../plugin.ts";
import type { Backend } from "../tensor.ts";
import { Acceptance } from "./acceptance.ts";
import { decode, type DecodeOptions } from "./decode.ts";
import { next, toyDraft, toyVerifier, VOCABULARY } from "./_toy.ts";

async function write(model: VerifierModel, prompt: number[], options: Omit<DecodeOptions, "ops">) {
  const tokens: number[] = [], acceptance = new Acceptance();
  for await (const round of decode(model, Int32Array.from(prompt), { ...options, ops })) {
    acceptance.count(round);
    tokens.push(...round.tokens);
  }
  return { tokens, rates: acceptance.rates() };
}

Deno.test("speculation writes what the verifier writes alone, whatever the draft is worth", async () => {
  using backend = new ReferenceBackend();
  const plain = await write(toyVerifier(backend), [1, 2, 3], { maxTokens: 20 });
  assert.equal(plain.tokens.length, 20);
  for (const right of [() => true, () => false, (p: number) => p % 3 !== 0, (p: number) => p % 5 < 3]) {
    for (const [prefillRows, beside] of [[1, 0], [2, 0], [512, 0], [2, 1], [512, 2]] as const) {
      const draft = { name: "toy", proposer: toyDraft(backend, { right, beside }), layers: [0] };
      const options = { maxTokens: 20, draft, prefillRows, numSpecTokens: 9 };
      const drafted = await write(toyVerifier(backend), [1, 2, 3], options);
      assert.deepEqual(drafted.tokens, plain.tokens);
    }
  }
  assert.equal(backend.memory().live, 0);
});

Deno.test("a draft that is always right gains its whole proposal, one that is never right gains nothing", async () => {
  using backend = new ReferenceBackend();
  const run = async (right: boolean) => {
    const model = toyVerifier(backend),
      draft = { name: "toy", proposer: toyDraft(backend, { right: () => right }), layers: [0] };
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
  const draft = () => ({ name: "toy", proposer: toyDraft(backend, { right: () => true }), layers: [0] });
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

/** A small generator (Vigna's splitmix, 32 bits). */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x9e3779b9) | 0;
    let z = seed ^ (seed >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

Deno.test("by the same numbers, sampling through speculation draws what sampling alone draws", async () => {
  using backend = new ReferenceBackend();
  for (let seed = 0; seed < 40; seed++) {
    const common = { maxTokens: 12, sampling: { temperature: 2, topP: 0.9 }, eosTokenIds: [] };
    const plain = await write(toyVerifier(backend), [1, 2], { ...common, uniform: seeded(seed) });
    for (const beside of [0, 1, 2]) {
      const proposer = toyDraft(backend, { right: (p) => p % 2 === 0, beside });
      const draft = { name: "toy", proposer, layers: [0] };
      const options = { ...common, draft, numSpecTokens: 9, uniform: seeded(seed) };
      assert.deepEqual((await write(toyVerifier(backend), [1, 2], options)).tokens, plain.tokens);
    }
  }
});

Deno.test("sampling through chains and trees keeps the verifier's distribution", async () => {
  using backend = new ReferenceBackend();
  const uniform = seeded(12345), n = 3000;
  const probability = Math.exp(2) / (Math.exp(2) + 6), rest = (1 - probability) / 6;
  for (const beside of [0, 2]) {
    const counts = new Map<string, number>();
    for (let i = 0; i < n; i++) {
      const proposer = toyDraft(backend, { right: (p) => p % 2 === 0, beside });
      const { tokens } = await write(toyVerifier(backend), [1, 2], {
        maxTokens: 2,
        sampling: { temperature: 2 },
        uniform,
        eosTokenIds: [],
        draft: { name: "toy", proposer, layers: [0] },
        numSpecTokens: 6,
      });
      counts.set(tokens.join(), (counts.get(tokens.join()) ?? 0) + 1);
    }
    let chi = 0;
    for (let a = 0; a < VOCABULARY; a++) {
      for (let b = 0; b < VOCABULARY; b++) {
        const p = (a === next(1, 2) ? probability : rest) * (b === next(2, a) ? probability : rest);
        chi += ((counts.get(`${a},${b}`) ?? 0) - n * p) ** 2 / (n * p);
      }
    }
    // 48 degrees of freedom: mean 48, standard deviation 9.8; above 85 by a chance of about 1 in 1000.
    assert.ok(chi < 85, `chi² ${chi} with ${beside} beside`);
  }
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
  await assert.rejects(propose(() => ({ tokens: tokens(1, 2), parents: [-1, 1] })), /a token before it/);
  await assert.rejects(
    propose(() => ({ tokens: tokens(1, 99), parents: [-1, 0] })),
    /plugin "toy".*from 0 to 6/,
  );
  await assert.rejects(propose(() => ({ tokens: tokens(1, 2, 3, 4), parents: [-1, 0, 1, 2] })), /at most 3/);
  await assert.rejects(
    propose(() => {
      throw new TypeError("oops");
    }),
    (error: Error) =>
      /failed while proposing/.test(error.message) && (error.cause as Error).message === "oops",
  );
});

Deno.test("an empty prompt and one without room are refused", async () => {
  using backend = new ReferenceBackend();
  await assert.rejects(write(toyVerifier(backend), [], { maxTokens: 4 }), /at least one token/);
  await assert.rejects(write(toyVerifier(backend, 3), [1, 2, 3], { maxTokens: 4 }), /3 positions/);
});
