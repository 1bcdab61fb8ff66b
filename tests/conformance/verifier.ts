/**
 * What every verifier must do, whatever its architecture and backend: a suite for plugins of third parties too. It knows
 * nothing of the right numbers, only that the ways to get them agree.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { ForwardInput, KvCache, VerifierModel } from "../../core/plugin.ts";
import { type Register, registrarOf } from "./register.ts";

/** A model, and whatever goes with it when it is disposed of. */
export interface OpenModel extends Disposable {
  /** The model. */
  readonly model: VerifierModel;
}

/** What {@linkcode verifierConformance} tests. */
export interface VerifierSubject {
  /** Begins the tests' names. */
  readonly name: string;
  /** Opens a backend and loads a model there; each test opens, and disposes of, its own. */
  open(): Promise<OpenModel>;
  /** Why the tests are left out, if they are. */
  readonly skip?: string;
  /** Largest difference of logits and states that counts as none, of the largest entry; 1e-5 when absent. */
  readonly tolerance?: number;
  /** Registers each test; `Deno.test` if absent. */
  readonly test?: Register;
}

interface Numbers {
  readonly logits: Float32Array | null;
  readonly hidden: readonly Float32Array[];
}

/** Token ids that a model of any vocabulary has, the same at every call. */
function sequence(model: VerifierModel, length: number, seed = 1): Int32Array {
  return Int32Array.from({ length }, (_, i) => (i * i * 7 + i * 13 + seed * 31) % model.info.vocabSize);
}

async function forward(model: VerifierModel, input: ForwardInput): Promise<Numbers> {
  using _scope = model.backend.scope();
  const { logits, hidden } = model.forward(input);
  const read = await model.backend.readAll([...logits ? [logits] : [], ...hidden]) as Float32Array[];
  return { logits: logits ? read[0]! : null, hidden: logits ? read.slice(1) : read };
}

/** Several passes on one cache, their rows joined. */
async function pieces(
  model: VerifierModel,
  cache: KvCache,
  input: { readonly parts: readonly Int32Array[]; readonly capture?: readonly number[] },
): Promise<{ logits: Float32Array; hidden: Float32Array[] }> {
  const { parts, capture = [] } = input;
  const found: Numbers[] = [];
  for (const tokens of parts) found.push(await forward(model, { tokens, cache, capture }));
  return {
    logits: joined(found.map(({ logits }) => logits!)),
    hidden: capture.map((_, i) => joined(found.map(({ hidden }) => hidden[i]!))),
  };
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function assertSame(got: Float32Array, expected: Float32Array, tolerance: number): void {
  assert.equal(got.length, expected.length);
  const largest = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  const distance = expected.reduce((max, x, i) => Math.max(max, Math.abs(x - got[i]!)), 0);
  assert.ok(largest > 0 && distance <= tolerance * largest, `${distance} apart, largest entry ${largest}`);
}

/** Registers the tests of a verifier. */
export function verifierConformance(subject: VerifierSubject): void {
  const { tolerance = 1e-5 } = subject;
  const register = registrarOf(subject);
  const test = (name: string, body: (model: VerifierModel) => Promise<void>) =>
    register(`${subject.name}: ${name}`, async () => {
      using opened = await subject.open();
      await body(opened.model);
    });

  test("one pass over a prompt equals one pass a token", async (model) => {
    const tokens = sequence(model, 9), capture = everyLayer(model);
    using cache = model.cache(9);
    const steps = await pieces(model, cache, { parts: split(tokens, [1, 1, 1, 1, 1, 1, 1, 1, 1]), capture });
    const whole = await forward(model, { tokens, capture });
    assertSame(steps.logits, whole.logits!, tolerance);
    steps.hidden.forEach((states, i) => assertSame(states, whole.hidden[i]!, tolerance));
  });

  test("chunks of a prompt equal the whole", async (model) => {
    const tokens = sequence(model, 23), capture = everyLayer(model);
    using cache = model.cache(30);
    const chunks = await pieces(model, cache, { parts: split(tokens, [5, 1, 3, 14]), capture });
    const whole = await forward(model, { tokens, capture });
    assert.equal(cache.length, 23);
    assertSame(chunks.logits, whole.logits!, tolerance);
    chunks.hidden.forEach((states, i) => assertSame(states, whole.hidden[i]!, tolerance));
  });

  test("a cache that was rolled back is as a fresh one", async (model) => {
    const start = sequence(model, 6), wrong = sequence(model, 4, 2), right = sequence(model, 4, 3);
    using used = model.cache(12), fresh = model.cache(12);
    await pieces(model, used, { parts: [start, wrong] });
    used.truncate(6);
    assert.equal(used.length, 6);
    await pieces(model, fresh, { parts: [start] });
    const again = await pieces(model, used, { parts: [right] });
    const once = await pieces(model, fresh, { parts: [right] });
    assert.deepEqual(again.logits, once.logits);
  });

  test("packed documents equal each by itself", async (model) => {
    const documents = [7, 1, 12].map((length, i) => sequence(model, length, i)), capture = everyLayer(model);
    const lengths = documents.map(({ length }) => length);
    const tokens = Int32Array.from(documents.flatMap((document) => [...document]));
    const packed = await forward(model, { tokens, lengths, capture });
    const alone: Numbers[] = [];
    for (const document of documents) alone.push(await forward(model, { tokens: document, capture }));
    assertSame(packed.logits!, joined(alone.map(({ logits }) => logits!)), tolerance);
    packed.hidden.forEach((states, i) =>
      assertSame(states, joined(alone.map(({ hidden }) => hidden[i]!)), tolerance)
    );
  });

  test("capture changes no logits and gives states in the order asked for", async (model) => {
    const tokens = sequence(model, 8), n = model.info.layers, order = [n, 0, Math.floor(n / 2)];
    const plain = await forward(model, { tokens });
    const all = await forward(model, { tokens, capture: everyLayer(model) });
    const some = await forward(model, { tokens, capture: order, logits: "none" });
    assertSame(all.logits!, plain.logits!, tolerance);
    assert.equal(some.logits, null);
    order.forEach((id, i) => assertSame(some.hidden[i]!, all.hidden[id]!, tolerance));
  });

  test("the last row's logits are the last of all", async (model) => {
    const tokens = sequence(model, 5), { vocabSize } = model.info;
    const all = await forward(model, { tokens }), last = await forward(model, { tokens, logits: "last" });
    assertSame(last.logits!, all.logits!.subarray(4 * vocabSize), tolerance);
  });

  test("tokens on the device are as tokens in memory", async (model) => {
    const tokens = sequence(model, 5);
    using uploaded = model.backend.from(tokens, [5]);
    const device = await forward(model, { tokens: uploaded });
    assert.deepEqual(device.logits, (await forward(model, { tokens })).logits);
  });

  test("a pass leaves nothing in memory but what it gives", async (model) => {
    const { backend } = model, tokens = sequence(model, 6);
    using cache = model.cache(6);
    const before = backend.memory().live;
    const { logits, hidden } = model.forward({ tokens, cache, capture: [0, model.info.layers] });
    const given = [logits!, ...hidden].reduce((sum, { shape }) => sum + 4 * shape[0]! * shape[1]!, 0);
    const during = backend.memory().live;
    for (const tensor of [logits!, ...hidden]) tensor[Symbol.dispose]();
    await backend.readAll([]);
    assert.equal(backend.memory().live, before);
    // A backend may round sizes up, but not by a page a tensor.
    assert.ok(
      during - before >= given && during - before <= given + 3 * 4096,
      `${during - before} for ${given}`,
    );
  });

  test("sequences in one pass equal each by itself, bit for bit", async (model) => {
    const capture = everyLayer(model), starts = [5, 70, 1, 12], lengths = [4, 1, 3, 40];
    const texts = starts.map((start, i) => sequence(model, start + lengths[i]!, i + 1));
    const alone: Numbers[] = [];
    for (const [i, tokens] of texts.entries()) {
      using cache = model.cache(120);
      await forward(model, { tokens: tokens.slice(0, starts[i]), cache, logits: "none" });
      alone.push(await forward(model, { tokens: tokens.slice(starts[i]), cache, capture }));
    }
    using stack = new DisposableStack();
    const caches = texts.map(() => stack.use(model.cache(120)));
    const join = (parts: readonly Int32Array[]) => Int32Array.from(parts.flatMap((part) => [...part]));
    await forward(model, {
      tokens: join(texts.map((tokens, i) => tokens.slice(0, starts[i]))),
      sequences: caches.map((cache, i) => ({ cache, rows: starts[i]! })),
      logits: "none",
    });
    const together = await forward(model, {
      tokens: join(texts.map((tokens, i) => tokens.slice(starts[i]))),
      sequences: caches.map((cache, i) => ({ cache, rows: lengths[i]! })),
      capture,
    });
    assert.deepEqual(caches.map(({ length }) => length), texts.map(({ length }) => length));
    assert.deepEqual(together.logits, joined(alone.map(({ logits }) => logits!)));
    together.hidden.forEach((states, i) =>
      assert.deepEqual(states, joined(alone.map(({ hidden }) => hidden[i]!)))
    );
  });

  test("each sequence has the logits that it asks for", async (model) => {
    const tokens = sequence(model, 9), { vocabSize } = model.info;
    using a = model.cache(9), b = model.cache(9), c = model.cache(9), all = model.cache(9);
    const some = await forward(model, {
      tokens,
      sequences: [{ cache: a, rows: 4 }, { cache: b, rows: 3, logits: "none" }, {
        cache: c,
        rows: 2,
        logits: "all",
      }],
      logits: "last",
    });
    const first = await forward(model, { tokens: tokens.slice(0, 4), cache: all });
    all.truncate(0);
    const last = await forward(model, { tokens: tokens.slice(7), cache: all });
    assert.deepEqual(some.logits, joined([first.logits!.slice(3 * vocabSize), last.logits!]));
  });

  test("a tree's rows are those of its paths, beside other sequences", async (model) => {
    // Whatever order sums have: the rows of a path do not lie side by side.
    const parents = [-1, 0, 0, 1, 2, 2, 4], capture = everyLayer(model), start = sequence(model, 61);
    const nodes = sequence(model, parents.length, 5),
      other = sequence(model, 3, 7),
      { vocabSize } = model.info;
    using cache = model.cache(80), beside = model.cache(80), path = model.cache(80);
    await forward(model, { tokens: start, cache, logits: "none" });
    await forward(model, { tokens: start, cache: path, logits: "none" });
    const tree = await forward(model, {
      tokens: Int32Array.of(...other, ...nodes),
      sequences: [{ cache: beside, rows: 3, logits: "none" }, { cache, rows: parents.length }],
      parents: [-1, 0, 1, ...parents],
      capture,
    });
    for (const rows of [[0, 1, 3], [0, 2, 4, 6], [0, 2, 5]]) {
      const tokens = Int32Array.from(rows, (row) => nodes[row]!);
      const chain = await forward(model, { tokens, cache: path, capture });
      path.truncate(start.length);
      const row = (values: Float32Array, width: number, first: number) =>
        joined(rows.map((row) => values.slice((first + row) * width, (first + row + 1) * width)));
      assertSame(row(tree.logits!, vocabSize, 0), chain.logits!, tolerance);
      tree.hidden.forEach((states, i) =>
        assertSame(row(states, model.info.hiddenSize, 3), chain.hidden[i]!, tolerance)
      );
    }
  });

  test("a path that is kept of a tree is as a fresh one", async (model) => {
    const parents = [-1, 0, 0, 1, 2, 2, 4], start = sequence(model, 61), nodes = sequence(model, 7, 5);
    const next = sequence(model, 3, 8), kept = [0, 2, 4, 6];
    using cache = model.cache(80), fresh = model.cache(80);
    await forward(model, { tokens: start, cache, logits: "none" });
    await forward(model, { tokens: nodes, cache, parents, logits: "none" });
    cache.keep(start.length, kept);
    assert.equal(cache.length, start.length + kept.length);
    await forward(model, { tokens: start, cache: fresh, logits: "none" });
    await forward(model, {
      tokens: Int32Array.from(kept, (row) => nodes[row]!),
      cache: fresh,
      logits: "none",
    });
    const after = await forward(model, { tokens: next, cache });
    assertSame(after.logits!, (await forward(model, { tokens: next, cache: fresh })).logits!, tolerance);
    assert.throws(() => cache.keep(start.length, [0, 99]));
    assert.throws(() => cache.keep(start.length, [1, 0]));
  });

  test("a cache in bf16 gives about the same", async (model) => {
    const tokens = sequence(model, 23);
    using half = model.cache(30, { dtype: "bf16" }), whole = model.cache(30);
    const found = await pieces(model, half, { parts: split(tokens, [5, 1, 17]) });
    const expected = await pieces(model, whole, { parts: split(tokens, [5, 1, 17]) });
    assertSame(found.logits, expected.logits, 3e-2);
    assert.notDeepEqual(found.logits, expected.logits);
  });

  test("a long text, row by row and going back, is that of one pass", async (model) => {
    const most = Math.min(model.info.maxPositions, 400),
      tokens = sequence(model, most),
      { vocabSize } = model.info;
    using cache = model.cache(most);
    const whole = await forward(model, { tokens, logits: "last" });
    let last = new Float32Array(0);
    while (cache.length < most) {
      const { length } = cache, rows = Math.min(length < 100 ? 70 : 9, most - length);
      const { logits } = await forward(model, { tokens: tokens.slice(length, length + rows), cache });
      last = logits!.slice((rows - 1) * vocabSize);
      if (cache.length < most && rows > 4) cache.truncate(length + rows - 4);
    }
    assertSame(last, whole.logits!, tolerance);
  });

  test("caches of others, trees that are none and rows that do not add up are refused", (model) => {
    const tokens = sequence(model, 4), none = { length: 0, capacity: 9 } as unknown as KvCache;
    using cache = model.cache(9);
    const refused = (input: Omit<ForwardInput, "tokens">) =>
      assert.throws(() => model.forward({ tokens, ...input }), /Cannot run "forward"/);
    refused({ sequences: [{ cache: none, rows: 4 }] });
    refused({ sequences: [{ cache, rows: 3 }] });
    refused({ sequences: [{ cache, rows: 2 }, { cache, rows: 2 }] });
    refused({ cache, parents: [-1, 0, 1] });
    refused({ cache, parents: [-1, 0, 3, 1] });
    refused({ parents: [-1, 0, 1, 1] });
    assert.equal(cache.length, 0);
    return Promise.resolve();
  });

  test("a full cache and rows it does not have are refused", async (model) => {
    using cache = model.cache(4);
    await forward(model, { tokens: sequence(model, 3), cache });
    assert.throws(() => model.forward({ tokens: sequence(model, 2), cache }), /4/);
    assert.throws(() => cache.truncate(4));
    assert.equal(cache.length, 3);
  });
}

function everyLayer(model: VerifierModel): number[] {
  return Array.from({ length: model.info.layers + 1 }, (_, i) => i);
}

function split(tokens: Int32Array, lengths: readonly number[]): Int32Array[] {
  let at = 0;
  return lengths.map((length) => tokens.slice(at, at += length));
}
