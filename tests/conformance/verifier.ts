/**
 * What every verifier must do, whatever its architecture and backend: a suite for plugins of third parties too. It knows
 * nothing of the right numbers, only that the ways to get them agree.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { ForwardInput, KvCache, VerifierModel } from "../../core/plugin.ts";

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
  const test = (name: string, body: (model: VerifierModel) => Promise<void>) =>
    Deno.test({
      name: `${subject.name}: ${name}`,
      ignore: subject.skip !== undefined,
      fn: async () => {
        using opened = await subject.open();
        await body(opened.model);
      },
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
