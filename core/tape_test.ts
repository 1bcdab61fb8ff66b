import assert from "node:assert/strict";
import * as ops from "../kernels/ops/mod.ts";
import { layerBatch, layerLoss, layerParameters } from "../tests/conformance/layer.ts";
import { randomOf } from "../tests/conformance/random.ts";
import { array } from "../tests/conformance/reference/array.ts";
import { ReferenceBackend } from "../tests/conformance/reference/backend.ts";
import { ShapeError, SpeculatorsError } from "./errors.ts";
import { MemoryBudget, type Part, Tape } from "./tape.ts";
import type { Backend, GradCall, Op, Run, Tensor } from "./tensor.ts";

const { add, addOp, mul, sum } = ops;

function row(backend: Backend, ...data: number[]): Tensor {
  return backend.from(Float32Array.from(data), [data.length]);
}

async function numbers(tensor: Tensor): Promise<number[]> {
  return [...await tensor.backend.read(tensor)];
}

function isTapeError(pattern: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof SpeculatorsError && error.code === "E_TAPE" && pattern.test(error.message);
}

/** Squares, with a rule that the test chooses. */
function squareWith(grad: NonNullable<Op["grad"]>): { op: Op; backend: ReferenceBackend } {
  const op: Op = { name: "test_square", infer: ([x]) => [x!], grad };
  const backend = new ReferenceBackend({
    test_square: ([x]) => [array(x!.shape, x!.data.map((v) => v * v))],
  });
  return { op, backend };
}

Deno.test("Gradients of several uses of a tensor add up", async () => {
  using backend = new ReferenceBackend();
  const x = row(backend, 1, 2, 3), y = row(backend, 4, 5, 6), tape = new Tape(backend, ops).watch([x, y]);
  const product = mul(tape.run, x, y);
  const both = add(tape.run, mul(tape.run, product, x), product); // x²y + xy
  const [dx, dy] = tape.gradients(sum(tape.run, both), [x, y]);
  assert.deepEqual(await numbers(dx!), [2 * 4 + 4, 2 * 2 * 5 + 5, 2 * 3 * 6 + 6]);
  assert.deepEqual(await numbers(dy!), [1 + 1, 4 + 2, 9 + 3]);
});

Deno.test("A tensor that the loss does not depend on has zeros, or null where asked so", async () => {
  using backend = new ReferenceBackend();
  const x = row(backend, 1, 2), other = row(backend, 3, 4, 5);
  const zeros = new Tape(backend, ops).watch([x, other]);
  add(zeros.run, other, other);
  const [, none] = zeros.gradients(sum(zeros.run, x), [x, other]);
  assert.deepEqual(await numbers(none!), [0, 0, 0]);
  const nulls = new Tape(backend, ops).watch([x, other]);
  assert.deepEqual(nulls.gradientsIfAny(sum(nulls.run, x), [x, other]).map((g) => g === null), [false, true]);
  const constant = new Tape(backend, ops).watch(x);
  assert.deepEqual(constant.gradientsIfAny(sum(constant.run, other), [x]), [null]);
});

Deno.test("Two tensors with the same gradient get one each", async () => {
  using backend = new ReferenceBackend();
  const x = row(backend, 1, 2), y = row(backend, 3, 4), tape = new Tape(backend, ops).watch([x, y]);
  const [dx, dy, again] = tape.gradients(sum(tape.run, add(tape.run, x, y)), [x, y, x]);
  dx![Symbol.dispose]();
  again![Symbol.dispose]();
  assert.deepEqual(await numbers(dy!), [1, 1]);
});

Deno.test("The loss and tensors on the way may be asked for too", async () => {
  using backend = new ReferenceBackend();
  const x = row(backend, 1, 2), tape = new Tape(backend, ops).watch(x);
  const middle = mul(tape.run, x, x), loss = sum(tape.run, mul(tape.run, middle, middle));
  const [dloss, dmiddle, dx] = tape.gradients(loss, [loss, middle, x]);
  assert.deepEqual(await numbers(dloss!), [1]);
  assert.deepEqual(await numbers(dmiddle!), [2, 8]);
  assert.deepEqual(await numbers(dx!), [4, 32]);
  assert.deepEqual(await numbers(middle), [1, 4]);
});

Deno.test("Only what was kept, asked for, integer, or one number is left after the way back", () => {
  using backend = new ReferenceBackend();
  const x = backend.from(new Float32Array(100).fill(1), [10, 10]), start = backend.memory().live;
  const tape = new Tape(backend, ops).watch(x);
  const a = mul(tape.run, x, x), b = tape.keep(mul(tape.run, a, x)), c = add(tape.run, b, a);
  ops.argmax(tape.run, c);
  const loss = sum(tape.run, c);
  const [dx] = tape.gradients(loss, [x]);
  // b and the gradient (400 bytes each), ten ids, and the loss
  assert.equal(backend.memory().live - start, 400 + 400 + 40 + 4);
  dx![Symbol.dispose]();
  b[Symbol.dispose]();
  assert.equal(backend.memory().live - start, 44);
});

Deno.test("Memory on the way back peaks at what the forward pass left and a few tensors", () => {
  using backend = new ReferenceBackend();
  const x = backend.from(new Float32Array(1000).fill(0.5), [1000]), start = backend.memory().live;
  using _scope = backend.scope();
  const tape = new Tape(backend, ops).watch(x);
  let y = x;
  for (let i = 0; i < 50; i++) y = mul(tape.run, y, x);
  const loss = sum(tape.run, y);
  const forward = backend.memory().live - start;
  assert.equal(forward, 50 * 4000 + 4);
  backend.resetPeak();
  tape.gradients(loss, [x]);
  // by x so far, by the output, the rule's two results and their sum
  assert.ok(
    backend.memory().peak - start <= forward + 5 * 4000,
    `${backend.memory().peak - start - forward}`,
  );
  assert.equal(backend.memory().live - start, 4000 + 4);
});

Deno.test("What needs no gradient is neither recorded nor freed", async () => {
  using backend = new ReferenceBackend();
  const x = row(backend, 1, 2), constant = row(backend, 3, 4), tape = new Tape(backend, ops).watch(x);
  const twice = add(tape.run, constant, constant);
  const [dx] = tape.gradients(sum(tape.run, mul(tape.run, x, twice)), [x]);
  assert.deepEqual(await numbers(dx!), [6, 8]);
  assert.deepEqual(await numbers(twice), [6, 8]);
});

Deno.test("An op that works in place is refused where a gradient needs what it changes", () => {
  using backend = new ReferenceBackend();
  const cache = backend.zeros([2, 1]), source = backend.zeros([1, 1]), other = backend.zeros([1, 1]);
  const tape = new Tape(backend, ops).watch(source);
  assert.throws(() => ops.writeRows(tape.run, cache, source, 0), isTapeError(/"write_rows"/));
  ops.writeRows(tape.run, cache, other, 0); // concerns no gradient
  ops.matmul(tape.run, source, cache, { transB: true });
  assert.throws(() => ops.writeRows(tape.run, cache, other, 0), isTapeError(/still needed/));
});

Deno.test("A composed op is one op to the tape", async () => {
  using backend = new ReferenceBackend();
  const from = (shape: number[], seed: string) => {
    const random = randomOf(seed);
    const size = shape.reduce((a, b) => a * b, 1);
    return backend.from(Float32Array.from({ length: size }, () => random() - 0.5), shape);
  };
  const x = {
    hidden: from([5, 3], "hidden"),
    head: from([7, 3], "head"),
    weights: from([5], "weights"),
    goal: { states: from([5, 2], "target"), head: from([7, 2], "targetHead") },
  };
  const tape = new Tape(backend, ops).watch([x.hidden, x.head]);
  const { loss, draftIds } = ops.linearLoss(tape.run, x, { gradients: true });
  const [dhidden, dhead] = tape.gradients(mul(tape.run, loss, row(backend, 2)), [x.hidden, x.head]);
  const outputs = backend.run(ops.linearLossOp, [x.hidden, x.head, x.weights, x.goal.states, x.goal.head], {
    gradients: true,
  });
  const expected = await Promise.all(outputs.slice(4).map(numbers));
  assert.deepEqual(await numbers(dhidden!), expected[0]!.map((v) => 2 * v));
  assert.deepEqual(await numbers(dhead!), expected[1]!.map((v) => 2 * v));
  assert.equal((await numbers(draftIds)).length, 5);
});

Deno.test("An op without a gradient is refused on the way of the loss, and only there", () => {
  using backend = new ReferenceBackend();
  const x = row(backend, 1, 2), tape = new Tape(backend, ops).watch(x);
  ops.sumRows(tape.run, x);
  assert.equal(tape.gradients(sum(tape.run, x), [x]).length, 1);
  const other = new Tape(backend, ops).watch(x);
  const loss = sum(other.run, ops.sumRows(other.run, x));
  assert.throws(() => other.gradients(loss, [x]), isTapeError(/"sum_rows".*none/));
});

Deno.test("A rule may return the very tensors it was given", async () => {
  const { op, backend } = squareWith((_run, { inputs }: GradCall<object>) => [inputs[0]!]);
  const x = row(backend, 1, 2, 3), tape = new Tape(backend, ops).watch(x);
  const y = tape.run(op, [x], {})[0]!, z = tape.run(op, [y], {})[0]!;
  const [dx] = tape.gradients(sum(tape.run, z), [x]);
  dx![Symbol.dispose]();
  assert.deepEqual(await numbers(x), [1, 2, 3]);
  const outputs = squareWith((_run, { outputs }: GradCall<object>) => [outputs[0]!]);
  const a = row(outputs.backend, 1, 2, 3), own = new Tape(outputs.backend, ops).watch(a);
  const b = own.run(outputs.op, [a], {})[0]!;
  const [da] = own.gradients(sum(own.run, add(own.run, b, b)), [a]);
  assert.deepEqual(await numbers(da!), [1, 4, 9]);
});

Deno.test("A rule's gradient of another shape than its input is refused, and nothing stays in memory", () => {
  const { op, backend } = squareWith((run: Run, { douts }: GradCall<object>) => [sum(run, douts[0]!)]);
  const x = row(backend, 1, 2, 3), { live } = backend.memory();
  {
    using _scope = backend.scope();
    const tape = new Tape(backend, ops).watch(x);
    const y = tape.run(op, [x], {})[0]!, loss = sum(tape.run, mul(tape.run, y, y));
    const before = backend.memory().live;
    assert.throws(() => tape.gradients(loss, [x]), (error) => {
      assert.ok(error instanceof ShapeError);
      assert.match(
        error.message,
        /"test_square": expected a gradient by input 0 as f32\[3\], received f32\[1\]/,
      );
      return true;
    });
    assert.ok(backend.memory().live <= before);
  }
  assert.equal(backend.memory().live, live);
});

Deno.test("A loss of several numbers, a second pass and an unwatched tensor are refused", () => {
  using backend = new ReferenceBackend();
  const x = row(backend, 1, 2), tape = new Tape(backend, ops).watch(x);
  assert.throws(() => tape.gradients(add(tape.run, x, x), [x]), ShapeError);
  const loss = sum(tape.run, x);
  assert.throws(() => tape.gradients(loss, [row(backend, 1)]), isTapeError(/watches/));
  tape.gradients(loss, [x]);
  assert.throws(() => tape.gradients(loss, [x]), isTapeError(/used before/));
});

Deno.test("A gradient through narrower floats is f32", async () => {
  using backend = new ReferenceBackend();
  const x = row(backend, 1, 2), tape = new Tape(backend, { addOp }).watch(x);
  const back = ops.cast(tape.run, ops.cast(tape.run, x, "bf16"), "f32");
  const [dx] = tape.gradients(sum(tape.run, mul(tape.run, back, back)), [x]);
  assert.deepEqual([dx!.dtype, await numbers(dx!)], ["f32", [2, 4]]);
});

Deno.test("The gradients of a whole layer are the slopes of its loss", async () => {
  using backend = new ReferenceBackend();
  const drawn = layerParameters(), names = [...drawn.keys()], batch = layerBatch(backend);
  const load = (moved?: string, by: (i: number) => number = () => 0) =>
    new Map(names.map((name) => {
      const { shape, data } = drawn.get(name)!;
      return [name, backend.from(Float32Array.from(data, (x, i) => name === moved ? x + by(i) : x), shape)];
    }));
  const parameters = load(), tape = new Tape(backend, ops).watch(parameters.values());
  const found = tape.gradients(layerLoss(tape.run, parameters, batch), [...parameters.values()]);
  const gradients = await Promise.all(found.map(numbers)), step = 2 ** -7, random = randomOf("directions");
  const lossAt = async (name: string, by: (i: number) => number) => {
    using _scope = backend.scope();
    return (await numbers(layerLoss(backend.run, load(name, by), batch)))[0]!;
  };
  for (const [k, name] of names.entries()) {
    const gradient = gradients[k]!, size = Math.hypot(...gradient);
    const direction = gradient.map((g) => g / size + (random() - 0.5) / Math.sqrt(gradient.length));
    const [high, low] = [
      await lossAt(name, (i) => step * direction[i]!),
      await lossAt(name, (i) => -step * direction[i]!),
    ];
    const expected = (high - low) / (2 * step),
      slope = gradient.reduce((all, g, i) => all + g * direction[i]!, 0);
    const rounding = 2 ** -23 * Math.abs(high) / step; // of the two losses, in f32
    assert.ok(
      Math.abs(slope - expected) <= 1e-3 * size + rounding,
      `${name}: ${slope} for ${expected} of ${size}`,
    );
  }
});

/** A loss of three steps that share a weight and feed each other, each a part. */
function unrolled(run: Run, part: Part, [weight, x]: readonly [Tensor, Tensor]): Tensor {
  let state = x;
  const losses: Tensor[] = [];
  for (let step = 0; step < 3; step++) {
    const from = state;
    state = part((run) => {
      const wide = ops.linear(run, from, weight);
      return [ops.add(run, from, ops.mul(run, wide, wide), { alpha: 0.1 })];
    })[0]!;
    losses.push(sum(run, ops.mul(run, state, state)));
  }
  return ops.total(run, losses);
}

Deno.test("Parts that are computed again give the same gradients to the bit, in less memory", async () => {
  using backend = new ReferenceBackend();
  const random = randomOf("parts");
  const weight = backend.from(Float32Array.from({ length: 64 }, () => random() - 0.5), [8, 8]);
  const x = backend.from(Float32Array.from({ length: 800 }, () => random() - 0.5), [100, 8]);
  const train = async (budget: MemoryBudget | null) => {
    using _scope = backend.scope();
    const { live } = backend.memory(), tape = new Tape(backend, ops, budget).watch([weight, x]);
    const loss = unrolled(tape.run, tape.part, [weight, x]), held = backend.memory().live - live;
    const found = tape.gradients(loss, [weight, x]);
    return { held, data: await Promise.all([loss, ...found].map(numbers)) };
  };
  const kept = await train(null), none = new MemoryBudget(0), some = new MemoryBudget(30_000);
  const again = await train(none);
  assert.deepEqual(again.data, kept.data);
  assert.ok(again.held < 0.7 * kept.held, `${again.held} bytes of ${kept.held}`);
  assert.deepEqual((await train(new MemoryBudget(Infinity))).data, kept.data);
  await train(some); // learns what parts take
  const partly = await train(some);
  assert.deepEqual(partly.data, kept.data);
  assert.ok(partly.held > again.held && partly.held < kept.held, `${partly.held} bytes`);
});

Deno.test("A part that no gradient is wanted of leaves nothing on the tape", async () => {
  using backend = new ReferenceBackend();
  const x = row(backend, 1, 2), w = row(backend, 3, 4);
  const tape = new Tape(backend, ops, new MemoryBudget(0)).watch(w);
  const [y] = tape.part((run) => [mul(run, x, x)]);
  const [dw] = tape.gradients(sum(tape.run, mul(tape.run, y!, w)), [w]);
  assert.deepEqual(await numbers(dw!), [1, 4]);
});
