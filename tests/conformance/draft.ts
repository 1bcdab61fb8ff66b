/**
 * What every draft must do, whatever its algorithm and backend: a suite for plugins of third parties too. It knows nothing
 * of the right numbers: proposals must be valid and depend on the sequence only, losses on the batch only, and gradients
 * must be the slopes of the loss.
 *
 * @module
 */
import assert from "node:assert/strict";
import { uploadDraft } from "../../core/draft_tensors.ts";
import { convert, toFloat32 } from "../../core/formats/dtype.ts";
import type { TensorSource } from "../../core/formats/source.ts";
import type { ObjectiveOptions, Proposal, ProposerSession } from "../../core/plugin.ts";
import { Tape } from "../../core/tape.ts";
import { elements, type HostTensor, type Tensor } from "../../core/tensor.ts";
import * as ops from "../../kernels/ops/mod.ts";
import {
  firstTensors,
  firstValues,
  type OpenDraft,
  rowsOf,
  type Sequence,
  sequence,
  smallBatch,
  withoutReading,
} from "./_draft_case.ts";
import { gauss, randomOf } from "./random.ts";
import { type Register, registrarOf } from "./register.ts";

export type { OpenDraft } from "./_draft_case.ts";

/** What {@linkcode draftConformance} tests. */
export interface DraftSubject {
  /** Begins the tests' names. */
  readonly name: string;
  /** Opens a backend and says what is tested there; each test opens, and disposes of, its own. */
  open(): Promise<OpenDraft>;
  /** Why the tests are left out, if they are. */
  readonly skip?: string;
  /** Whether the draft is trained; the tests of the objective are left out otherwise. */
  readonly trainable: boolean;
  /** Registers each test; `Deno.test` if absent. */
  readonly test?: Register;
}

/** Tokens asked for. */
const COUNT = 4;
/** Off-policy, so that a small step of a parameter does not change which tokens are fed. */
const TRAINING: ObjectiveOptions = { tttSteps: 3, tttStepLossDecay: 0.8, useOffPolicyTokens: true };
/** Largest share of a gradient's size that a difference quotient may be off, in f32. */
const SLOPE_TOLERANCE = 2e-2;

/** The tokens of a proposal. */
async function ids(open: OpenDraft, { tokens }: Proposal): Promise<number[]> {
  return Array.from(await open.backend.read(tokens));
}

/** Lets a session take in the rows from `start` on of a sequence's first `length` tokens, and propose. */
function propose(
  open: OpenDraft,
  session: ProposerSession,
  at: { readonly of: Sequence; readonly start: number; readonly length: number },
): Proposal {
  const { of, start, length } = at;
  return session.propose({
    history: of.tokens.slice(0, length),
    position: start,
    hidden: rowsOf(open, of, start, length - 1),
    count: COUNT,
  });
}

/** The loss and metrics of a batch, without gradients. */
async function evaluate(
  open: OpenDraft,
  tensors: ReadonlyMap<string, Tensor>,
  batch: ReturnType<typeof smallBatch>,
  options: ObjectiveOptions = TRAINING,
): Promise<Record<string, number>> {
  const { backend, algorithm, config } = open;
  using _scope = backend.scope();
  const objective = algorithm.objective!(config, options);
  const { loss, outputs, metrics } = withoutReading(
    backend,
    () => objective.loss(backend.run, { backend, tensors, batch, gradients: false }),
  );
  const names = Object.keys(outputs);
  const [first, ...read] = await backend.readAll([loss, ...Object.values(outputs)]);
  return { ...metrics(Object.fromEntries(names.map((name, i) => [name, read[i]!]))), "": first![0]! };
}

/** Gradients by name of the trained tensors that have one. */
async function gradients(
  open: OpenDraft,
  tensors: ReadonlyMap<string, Tensor>,
  trained: ReadonlyMap<string, Tensor>,
): Promise<Map<string, Float32Array>> {
  const { backend, algorithm, config } = open;
  using _scope = backend.scope();
  const tape = new Tape(backend, ops).watch(trained.values());
  const batch = smallBatch(open, [7, 5]);
  const { loss } = algorithm.objective!(config, TRAINING).loss(tape.run, {
    backend,
    tensors,
    batch,
    gradients: true,
  });
  const found = tape.gradientsIfAny(loss, [...trained.values()]);
  const names = [...trained.keys()].filter((_, i) => found[i]);
  const read = await backend.readAll(found.filter((gradient) => gradient !== null));
  return new Map(names.map((name, i) => [name, read[i] as Float32Array]));
}

function unit(values: Float32Array): Float32Array {
  const length = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
  return values.map((x) => x / length);
}

/** Slope of the loss as one tensor moves along a direction of length about 1. */
async function slope(
  open: OpenDraft,
  tensors: ReadonlyMap<string, Tensor>,
  move: { readonly name: string; readonly direction: Float32Array; readonly step: number },
): Promise<number> {
  const { backend } = open, tensor = tensors.get(move.name)!, batch = smallBatch(open, [7, 5]);
  const values = await backend.read(tensor) as Float32Array;
  const at = async (step: number) => {
    using moved = backend.from(values.map((x, i) => x + step * move.direction[i]!), tensor.shape);
    return (await evaluate(open, new Map(tensors).set(move.name, moved), batch))[""]!;
  };
  return (await at(move.step) - await at(-move.step)) / (2 * move.step);
}

/** A checkpoint in memory. */
function memorySource(tensors: ReadonlyMap<string, HostTensor>): TensorSource {
  const need = (name: string) => tensors.get(name) ?? assert.fail(`there is no ${name}`);
  return {
    names: () => [...tensors.keys()],
    has: (name) => tensors.has(name),
    spec: (name) => need(name),
    read: (name) => Promise.resolve(need(name)),
    [Symbol.dispose]() {},
  };
}

/** Registers the tests of a draft. */
export function draftConformance(subject: DraftSubject): void {
  const register = registrarOf(subject);
  const test = (name: string, body: (open: OpenDraft) => Promise<void>) =>
    register(`${subject.name}: ${name}`, async () => {
      using open = await subject.open();
      await body(open);
    });
  const training = subject.trainable ? test : () => {};

  test("the schema takes its own config and keeps fields it does not know", async (open) => {
    const config = JSON.parse(JSON.stringify({ ...open.config, "a field of tomorrow": [1] }));
    const { value, issues } = await open.algorithm.schema["~standard"].validate(config) as {
      value?: unknown;
      issues?: unknown;
    };
    assert.equal(issues, undefined);
    assert.deepEqual(value, config);
  });

  test("the states it needs are layers of the verifier", (open) => {
    const { layers } = open.algorithm.needs(open.config, open.verifier);
    for (const id of layers) {
      assert.ok(Number.isInteger(id) && id >= 0 && id <= open.verifier.layers, `${id}`);
    }
    return Promise.resolve();
  });

  test("initialise gives every tensor in its shape, the same for the same seed", async (open) => {
    const infos = open.algorithm.tensors(open.config);
    const values = await firstValues(open), again = await firstValues(open);
    assert.deepEqual([...values.keys()].sort(), infos.map(({ name }) => name).sort());
    for (const { name, shape, trained } of infos) {
      const tensor = values.get(name)!;
      assert.deepEqual(tensor.shape, shape, name);
      assert.deepEqual(again.get(name), tensor, name);
      const finite = !trained || toFloat32(tensor).every((x) => Number.isFinite(x));
      assert.ok(finite, name);
    }
  });

  test("initialise gives a checkpoint's tensors back", async (open) => {
    const values = await firstValues(open, 1);
    const saved = open.algorithm.tensors(open.config).filter((info) => info.saved);
    const checkpoint = memorySource(new Map(saved.map(({ name }) => [name, values.get(name)!])));
    const { verifier } = open.sources;
    const back = await open.algorithm.initialise(open.config, {
      seed: 2,
      verifier,
      vocabulary: null,
      checkpoint,
    });
    assert.deepEqual(back, values);
  });

  test("proposals are tokens of the verifier, each behind an earlier one", async (open) => {
    using tensors = await firstTensors(open);
    using proposer = open.algorithm.proposer(open.config, { backend: open.backend, tensors: tensors.all });
    using session = proposer.start(32);
    const of = sequence(open, 9, { name: "a", shared: 0 });
    using _scope = open.backend.scope();
    const proposal = withoutReading(open.backend, () => propose(open, session, { of, start: 0, length: 9 }));
    const { tokens, parents } = proposal, found = await ids(open, proposal);
    assert.equal(tokens.dtype, "i32");
    assert.deepEqual(tokens.shape, [parents.length]);
    assert.ok(found.length <= COUNT);
    for (const id of found) assert.ok(id >= 0 && id < open.verifier.vocabSize, `${id}`);
    for (const [i, parent] of parents.entries()) assert.ok(parent >= -1 && parent < i, `${parent} at ${i}`);
  });

  test("proposals do not depend on how the states come in", async (open) => {
    using tensors = await firstTensors(open);
    using proposer = open.algorithm.proposer(open.config, { backend: open.backend, tensors: tensors.all });
    const of = sequence(open, 12, { name: "a", shared: 0 });
    using _scope = open.backend.scope();
    using whole = proposer.start(32), pieces = proposer.start(32);
    const expected = propose(open, whole, { of, start: 0, length: 12 });
    let start = 0, proposal = expected;
    for (const length of [4, 5, 8, 12]) {
      proposal = propose(open, pieces, { of, start, length });
      start = length - 1;
    }
    assert.deepEqual(proposal.parents, expected.parents);
    assert.deepEqual(await ids(open, proposal), await ids(open, expected));
  });

  test("a sequence that went back is as a fresh one, beside others", async (open) => {
    using tensors = await firstTensors(open);
    using proposer = open.algorithm.proposer(open.config, { backend: open.backend, tensors: tensors.all });
    const wrong = sequence(open, 11, { name: "b", shared: 6 });
    const right = sequence(open, 10, { name: "c", shared: 6 });
    using _scope = open.backend.scope();
    using used = proposer.start(32), fresh = proposer.start(32);
    propose(open, used, { of: wrong, start: 0, length: 11 });
    const expected = propose(open, fresh, { of: right, start: 0, length: 10 });
    // Rows 0 … 4 know the tokens 1 … 5, which both have.
    const again = propose(open, used, { of: right, start: 5, length: 10 });
    assert.deepEqual(await ids(open, again), await ids(open, expected));
  });

  test("proposals for several sequences are those for each by itself", async (open) => {
    using tensors = await firstTensors(open);
    using proposer = open.algorithm.proposer(open.config, { backend: open.backend, tensors: tensors.all });
    if (!proposer.proposeAll) return;
    const texts = [9, 4, 6].map((length, i) => sequence(open, length, { name: `${i}`, shared: 2 }));
    const counts = [COUNT, 0, 2];
    using _scope = open.backend.scope();
    using stack = new DisposableStack();
    const sessions = texts.map(() => stack.use(proposer.start(32)));
    const alone: number[][] = [];
    for (const [i, of] of texts.entries()) {
      using session = proposer.start(32);
      const { tokens: history } = of, hidden = rowsOf(open, of, 0, history.length - 1);
      alone.push(await ids(open, session.propose({ history, position: 0, hidden, count: counts[i]! })));
    }
    // The first one has seen a part before.
    propose(open, sessions[0]!, { of: texts[0]!, start: 0, length: 5 });
    const starts = [4, 0, 0];
    const parts = texts.map((of, i) => rowsOf(open, of, starts[i]!, of.tokens.length - 1));
    const layers = parts[0]!.map((_, layer) =>
      ops.concat(open.backend.run, parts.map((part) => part[layer]!), 0)
    );
    const found = await proposer.proposeAll({
      sequences: texts.map(({ tokens: history }, i) => ({
        session: sessions[i]!,
        history,
        position: starts[i]!,
        count: counts[i]!,
      })),
      hidden: layers,
    });
    assert.deepEqual(await ids(open, { tokens: found.tokens, parents: [] }), alone.flat());
    assert.deepEqual(found.parents.map(({ length }) => length), alone.map(({ length }) => length));
  });

  test("a tree holds no more than was asked for, each node behind its parent", async (open) => {
    using tensors = await firstTensors(open);
    const model = { backend: open.backend, tensors: tensors.all }, tree = { topK: 3, depth: 4 };
    using proposer = open.algorithm.proposer(open.config, model, { tree });
    if (!proposer.proposeAll) return;
    const texts = [9, 6].map((length, i) => sequence(open, length, { name: `${i}`, shared: 2 }));
    using _scope = open.backend.scope();
    using stack = new DisposableStack();
    const grow = async (chosen: readonly Sequence[], count: number) => {
      const parts = chosen.map((of) => rowsOf(open, of, 0, of.tokens.length - 1));
      const { tokens, parents } = await proposer.proposeAll!({
        sequences: chosen.map(({ tokens: history }) => ({
          session: stack.use(proposer.start(32)),
          history,
          position: 0,
          count,
        })),
        hidden: parts[0]!.map((_, layer) =>
          ops.concat(open.backend.run, parts.map((part) => part[layer]!), 0)
        ),
      });
      return { tokens: await ids(open, { tokens, parents: [] }), parents };
    };
    for (const count of [1, 8]) {
      const both = await grow(texts, count), first = await grow(texts.slice(0, 1), count);
      assert.deepEqual(both.tokens.slice(0, first.tokens.length), first.tokens);
      assert.deepEqual(both.parents[0], first.parents[0]);
      let start = 0;
      for (const own of both.parents) {
        assert.ok(own.length > 0 && own.length <= count);
        own.forEach((parent, i) => assert.ok(parent >= -1 && parent < i));
        const siblings = own.map((parent, i) => `${parent} ${both.tokens[start + i]}`);
        assert.equal(new Set(siblings).size, own.length);
        start += own.length;
      }
    }
  });

  test("a sequence may be filled to its end", async (open) => {
    using tensors = await firstTensors(open);
    using proposer = open.algorithm.proposer(open.config, { backend: open.backend, tensors: tensors.all });
    const of = sequence(open, 8, { name: "a", shared: 0 });
    using _scope = open.backend.scope();
    for (const capacity of [8, 9, 10]) {
      using session = proposer.start(capacity);
      const found = await ids(open, propose(open, session, { of, start: 0, length: 8 }));
      assert.ok(found.length <= COUNT, `${found.length} proposals`);
    }
  });

  test("a session and its proposer leave nothing in memory", async (open) => {
    using tensors = await firstTensors(open);
    const before = open.backend.memory().live;
    {
      using proposer = open.algorithm.proposer(open.config, { backend: open.backend, tensors: tensors.all });
      using session = proposer.start(16);
      const of = sequence(open, 6, { name: "a", shared: 0 });
      using _scope = open.backend.scope();
      await ids(open, propose(open, session, { of, start: 0, length: 6 }));
    }
    await open.backend.readAll([]);
    assert.equal(open.backend.memory().live, before);
  });

  training("a loss is finite, and the same with and without gradients", async (open) => {
    using tensors = await firstTensors(open);
    const batch = smallBatch(open, [7, 5]), { backend, algorithm, config } = open;
    const metrics = await evaluate(open, tensors.all, batch);
    for (const [name, value] of Object.entries(metrics)) {
      assert.ok(Number.isFinite(value), `${name}: ${value}`);
    }
    using _scope = backend.scope();
    const { loss } = withoutReading(
      backend,
      () =>
        algorithm.objective!(config, TRAINING).loss(backend.run, {
          backend,
          tensors: tensors.all,
          batch,
          gradients: true,
        }),
    );
    const got = (await backend.read(loss))[0]!;
    assert.ok(got > 0 && Math.abs(got - metrics[""]!) <= 1e-5 * got, `${got} is not ${metrics[""]}`);
  });

  training("padding changes neither loss nor metrics", async (open) => {
    using tensors = await firstTensors(open);
    for (const useOffPolicyTokens of [true, false]) {
      const options = { ...TRAINING, useOffPolicyTokens };
      const bare = await evaluate(open, tensors.all, smallBatch(open, [7, 5]), options);
      const padded = await evaluate(open, tensors.all, smallBatch(open, [7, 5], 4), options);
      for (const [name, value] of Object.entries(bare)) {
        assert.ok(Math.abs(padded[name]! - value) <= 1e-5 * Math.max(Math.abs(value), 1e-3), name);
      }
    }
  });

  training("a batch without a token to train on has no loss", async (open) => {
    using tensors = await firstTensors(open);
    const batch = smallBatch(open, [7, 5]);
    batch.lossMask.fill(0);
    const metrics = await evaluate(open, tensors.all, batch);
    for (const [name, value] of Object.entries(metrics)) {
      assert.ok(Number.isFinite(value), `${name}: ${value}`);
    }
    assert.equal(metrics[""], 0);
  });

  training("gradients are the slopes of the loss", async (open) => {
    using tensors = await firstTensors(open);
    const { all, trained } = tensors;
    const found = await gradients(open, all, trained);
    assert.ok(found.size > 0);
    const random = randomOf("directions");
    for (const [name, gradient] of found) {
      const size = Math.sqrt(gradient.reduce((sum, x) => sum + x * x, 0));
      assert.ok(size > 0, `${name} has a gradient of zeros`);
      // Half along the gradient, where the signal is, half anywhere, where a wrong entry would show.
      const along = unit(gradient), anywhere = unit(gradient.map(() => gauss(random)));
      const direction = along.map((x, i) => x + anywhere[i]!);
      const values = await open.backend.read(trained.get(name)!) as Float32Array;
      const scale = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
      const step = Math.min(1e-2 * scale, 1e-2 / size);
      const expected = await slope(open, all, { name, direction, step });
      const got = gradient.reduce((sum, x, i) => sum + x * direction[i]!, 0);
      assert.ok(Math.abs(got - expected) <= SLOPE_TOLERANCE * size, `${name}: ${got} is not ${expected}`);
    }
  });

  training("tensors that are not trained may be in 16 bits", async (open) => {
    const infos = open.algorithm.tensors(open.config), values = await firstValues(open);
    const half = new Map([...values].map(([name, tensor]) => [
      name,
      tensor.dtype === "f32" && elements(tensor.shape) > 0 ? convert(tensor, "bf16") : tensor,
    ]));
    using tensors = uploadDraft(open.backend, half, infos);
    const metrics = await evaluate(open, tensors.all, smallBatch(open, [7, 5]));
    assert.ok(Number.isFinite(metrics[""]!));
    using proposer = open.algorithm.proposer(open.config, {
      backend: open.backend,
      tensors: uploadAsStored(open, half),
    });
    using session = proposer.start(16);
    const of = sequence(open, 6, { name: "a", shared: 0 });
    using _scope = open.backend.scope();
    await ids(open, propose(open, session, { of, start: 0, length: 6 }));
  });
}

/** Tensors as a checkpoint holds them, as decoding keeps them. */
function uploadAsStored(open: OpenDraft, host: ReadonlyMap<string, HostTensor>): Map<string, Tensor> {
  const infos = open.algorithm.tensors(open.config).map((info) => ({ ...info, trained: false }));
  return new Map(uploadDraft(open.backend, host, infos).all);
}
