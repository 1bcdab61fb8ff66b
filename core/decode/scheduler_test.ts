import assert from "node:assert/strict";
import { AbortedError, BusyError, PluginError } from "../errors.ts";
import * as ops from "../../kernels/ops/mod.ts";
import { ReferenceBackend } from "../../tests/conformance/reference/backend.ts";
import type { ProposeInput } from "../plugin.ts";
import { decode } from "./decode.ts";
import { Scheduler, type SchedulerRequest } from "./scheduler.ts";
import { toyDraft, toyVerifier } from "./_toy.ts";

const PROMPTS = [[1, 2, 3], [4], [0, 5, 1, 2, 3, 4, 5, 0, 1], [2, 2], [3, 1, 4, 1]];

function seeded(seed: number): () => number {
  return () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

/** Requests of several lengths, ways to draw, and draft lengths. */
function requests(): SchedulerRequest[] {
  return PROMPTS.map((prompt, i) => ({
    prompt: Int32Array.from(prompt),
    maxTokens: 6 + 3 * i,
    numSpecTokens: i % 4,
    eosTokenIds: [],
    ...(i % 2 === 1 ? { sampling: { temperature: 2 }, uniform: seeded(i) } : {}),
    ...(i === 2 ? { logprobs: 2 } : {}),
  }));
}

async function tokensOf(rounds: AsyncIterable<{ readonly tokens: readonly number[] }>): Promise<number[]> {
  const tokens: number[] = [];
  for await (const round of rounds) tokens.push(...round.tokens);
  return tokens;
}

Deno.test("texts written together are those written alone", async () => {
  using backend = new ReferenceBackend();
  const alone: number[][] = [],
    draft = () => ({ name: "toy", proposer: toyDraft(backend, { right: (p) => p % 3 > 0 }), layers: [0] });
  for (const { prompt, ...options } of requests()) {
    alone.push(await tokensOf(decode(toyVerifier(backend), prompt, { ...options, ops })));
  }
  for (const maxSequences of [1, 2, 8]) {
    for (const prefillRows of [2, 512]) {
      await using scheduler = new Scheduler(toyVerifier(backend), {
        ops,
        draft: draft(),
        maxSequences,
        prefillRows,
      });
      const together = await Promise.all(requests().map((request) => tokensOf(scheduler.submit(request))));
      assert.deepEqual(together, alone);
      assert.deepEqual([scheduler.stats().running, scheduler.stats().waiting], [0, 0]);
      assert.equal(scheduler.stats().tokens, alone.flat().length);
    }
  }
  assert.equal(backend.memory().live, 0);
});

Deno.test("no more is proposed in a step than all texts together may", async () => {
  using backend = new ReferenceBackend();
  const inputs: ProposeInput[] = [];
  const draft = { name: "toy", proposer: toyDraft(backend, { right: () => true, inputs }), layers: [0] };
  for (const [maxProposed, expected] of [[0, 0], [7, 2], [99, 3]] as const) {
    inputs.length = 0;
    await using scheduler = new Scheduler(toyVerifier(backend), { ops, draft, maxProposed });
    const request = { prompt: Int32Array.of(1, 2), maxTokens: 9, eosTokenIds: [] };
    const texts = await Promise.all([1, 2, 3].map(() => tokensOf(scheduler.submit(request))));
    assert.deepEqual(texts.map(({ length }) => length), [9, 9, 9]);
    assert.equal(Math.max(...inputs.map(({ count }) => count)), expected);
  }
});

Deno.test("several texts take hardly more passes than the longest one", async () => {
  using backend = new ReferenceBackend();
  const model = toyVerifier(backend);
  await using scheduler = new Scheduler(model, { ops });
  await Promise.all(
    [5, 9, 7].map((maxTokens) =>
      tokensOf(scheduler.submit({ prompt: Int32Array.of(1, 2), maxTokens, eosTokenIds: [] }))
    ),
  );
  assert.equal(model.passes, 9);
});

Deno.test("a long prompt does not hold up a short one", async () => {
  using backend = new ReferenceBackend();
  await using scheduler = new Scheduler(toyVerifier(backend, 4096), { ops, prefillRows: 4 });
  const order: string[] = [];
  const write = async (name: string, length: number) => {
    const prompt = Int32Array.from({ length }, (_, i) => i % 5);
    for await (const _ of scheduler.submit({ prompt, maxTokens: 3, eosTokenIds: [] })) order.push(name);
  };
  await Promise.all([write("long", 200), write("short", 3)]);
  assert.deepEqual(order, ["short", "short", "short", "long", "long", "long"]);
});

Deno.test("a request that was given up frees its memory, and the others go on", async () => {
  using backend = new ReferenceBackend();
  const draft = { name: "toy", proposer: toyDraft(backend, { right: () => true }), layers: [0] };
  const model = toyVerifier(backend, 4096);
  await using scheduler = new Scheduler(model, { ops, draft });
  const controller = new AbortController(),
    prompt = Int32Array.of(1, 2),
    common = { prompt, eosTokenIds: [] };
  const aborted = scheduler.submit({ ...common, maxTokens: 3000, signal: controller.signal });
  const left = scheduler.submit({ ...common, maxTokens: 3000 });
  const kept = tokensOf(scheduler.submit({ ...common, maxTokens: 40 }));
  await aborted.next();
  for await (const _ of left) break;
  controller.abort();
  await assert.rejects(tokensOf(aborted), AbortedError);
  assert.equal((await kept).length, 40);
  await scheduler.close();
  assert.equal(model.open, 0);
  assert.equal(backend.memory().live, 0);
});

Deno.test("too many that wait are refused, and so are all once it is closed", async () => {
  using backend = new ReferenceBackend();
  const scheduler = new Scheduler(toyVerifier(backend), { ops, maxSequences: 1, maxQueue: 1 });
  const request = { prompt: Int32Array.of(1, 2), maxTokens: 4, eosTokenIds: [] };
  const [first, second] = [scheduler.submit(request), scheduler.submit(request)];
  assert.throws(() => scheduler.submit(request), BusyError);
  await first.next();
  const closing = scheduler.close();
  assert.throws(() => scheduler.submit(request), BusyError);
  await assert.rejects(tokensOf(second), BusyError);
  assert.equal((await tokensOf(first)).length, 3);
  await closing;
});

Deno.test("what cannot be used and a draft that fails end their own request only", async () => {
  using backend = new ReferenceBackend();
  const right = toyDraft(backend, { right: () => true });
  const proposer: typeof right = {
    ...right,
    start(capacity) {
      const session = right.start(capacity);
      return {
        propose(input) {
          if (input.count > 0 && input.history[0] === 4) throw new TypeError("oops");
          const found = session.propose(input);
          if (input.count === 0 || input.history[0] !== 3) return found;
          return { tokens: backend.from(Int32Array.of(99), [1]), parents: [-1] };
        },
        [Symbol.dispose]: () => session[Symbol.dispose](),
      };
    },
  };
  await using scheduler = new Scheduler(toyVerifier(backend), {
    ops,
    draft: { name: "toy", proposer, layers: [0] },
  });
  const write = (prompt: number[]) =>
    tokensOf(scheduler.submit({ prompt: Int32Array.from(prompt), maxTokens: 9, eosTokenIds: [] }));
  const [fine, empty, thrown, range] = await Promise.allSettled([
    write([1, 2]),
    write([]),
    write([4, 1]),
    write([3]),
  ]);
  assert.equal(fine!.status === "fulfilled" && fine.value.length, 9);
  assert.match(String(empty!.status === "rejected" && empty.reason), /at least one token/);
  assert.ok(thrown!.status === "rejected" && thrown.reason instanceof PluginError);
  assert.match(thrown.reason.message, /"toy".*failed while proposing/);
  assert.match(String(range!.status === "rejected" && range.reason), /"toy".*from 0 to 6, received 99/);
  assert.equal(backend.memory().live, 0);
});

Deno.test("a draft that does not answer in time is given up", async () => {
  using backend = new ReferenceBackend();
  const right = toyDraft(backend, { right: () => true });
  const proposer: typeof right = {
    ...right,
    proposeAll: ({ sequences }) =>
      sequences[0]!.count === 0
        ? { tokens: backend.zeros([0], "i32"), parents: sequences.map(() => []) }
        : new Promise(() => {}),
  };
  const draft = { name: "toy", proposer, layers: [0] };
  await using scheduler = new Scheduler(toyVerifier(backend), { ops, draft, pluginTimeout: 20 });
  const rounds = scheduler.submit({ prompt: Int32Array.of(1, 2), maxTokens: 4 });
  await assert.rejects(tokensOf(rounds), /plugin "toy".*within 20 ms/);
});

Deno.test("tokens come with how likely they were", async () => {
  using backend = new ReferenceBackend();
  await using scheduler = new Scheduler(toyVerifier(backend), { ops });
  const request = { prompt: Int32Array.of(1, 2), maxTokens: 4, eosTokenIds: [], logprobs: 2 };
  for await (const { tokens, logprobs } of scheduler.submit(request)) {
    const expected = 4 - Math.log(Math.exp(4) + 6);
    assert.equal(logprobs!.length, tokens.length);
    for (const [i, { logprob, top }] of logprobs!.entries()) {
      assert.ok(Math.abs(logprob - expected) < 1e-6);
      assert.deepEqual(top.map(({ token }) => token), [tokens[i]!, tokens[i] === 0 ? 1 : 0]);
    }
  }
});
