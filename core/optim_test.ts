import assert from "node:assert/strict";
import * as ops from "../kernels/ops/mod.ts";
import { ReferenceBackend } from "../tests/conformance/reference/backend.ts";
import { FormatError, ShapeError } from "./errors.ts";
import { adamw, type AdamWOptions } from "./optim.ts";
import { exportState, importState } from "./optim_state.ts";
import type { Tensor } from "./tensor.ts";

async function numbers(tensor: Tensor): Promise<number[]> {
  return [...await tensor.backend.read(tensor)];
}

function near(got: readonly number[], expected: readonly number[], tolerance = 1e-6): void {
  assert.equal(got.length, expected.length);
  got.forEach((x, i) => assert.ok(Math.abs(x - expected[i]!) <= tolerance, `${i}: ${x} for ${expected[i]}`));
}

/** Three steps in doubles of one scalar parameter with clipping, as the paper and `clip_grad_norm_` have it. */
function byHand(p: number, gradients: readonly number[], norms: readonly number[], lr: number): number {
  let m = 0, v = 0;
  gradients.forEach((raw, i) => {
    const g = raw * Math.min(1, 1 / (norms[i]! + 1e-6)), t = i + 1;
    p *= 1 - lr * 0.01;
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    p -= lr / (1 - 0.9 ** t) * m / (Math.sqrt(v) / Math.sqrt(1 - 0.999 ** t) + 1e-8);
  });
  return p;
}

function setUp(options: AdamWOptions = { maxNorm: 1 }) {
  const backend = new ReferenceBackend();
  const parameters = new Map([
    ["a.weight", backend.from(Float32Array.of(1, -2), [1, 2])],
    ["b.weight", backend.from(Float32Array.of(0.5), [1])],
  ]);
  const optimizer = adamw(ops, options), state = optimizer.init(backend, parameters);
  const step = (a: readonly number[], b: number | null, lr = 0.01) => {
    using scope = backend.scope();
    const gradients = new Map<string, Tensor | null>([
      ["a.weight", backend.from(Float32Array.from(a), [1, 2])],
      ["b.weight", b === null ? null : backend.from(Float32Array.of(b), [1])],
    ]);
    return scope.keep(optimizer.update(state, { parameters, gradients, lr }).norm);
  };
  return { backend, parameters, optimizer, state, step };
}

Deno.test("AdamW takes the steps of the paper, its gradients clipped by their common norm", async () => {
  const { parameters, step } = setUp();
  const a = [[3, 0.1], [0.2, -0.1], [-1, 2]], b = [4, 0.3, 2];
  const norms = a.map((row, i) => Math.hypot(...row, b[i]!)), found: number[] = [];
  for (const [i, row] of a.entries()) found.push(...await numbers(step(row, b[i]!)));
  near(found, norms);
  const byA = [0, 1].map((k) => byHand([1, -2][k]!, a.map((row) => row[k]!), norms, 0.01));
  near(await numbers(parameters.get("a.weight")!), byA);
  near(await numbers(parameters.get("b.weight")!), [byHand(0.5, b, norms, 0.01)]);
});

Deno.test("A parameter without a gradient stays as it is, and starts at step 1 when it gets one", async () => {
  const { parameters, state, step } = setUp();
  step([0.1, 0.2], null);
  step([0.1, 0.2], null);
  assert.deepEqual(await numbers(parameters.get("b.weight")!), [0.5]);
  assert.deepEqual([...state.moments.values()].map((moments) => moments.step), [2, 0]);
  step([0, 0], 0.5);
  near(await numbers(parameters.get("b.weight")!), [byHand(0.5, [0.5], [0.5], 0.01)]);
});

Deno.test("Without a bound the gradients are taken as they are, and their norm is given all the same", async () => {
  const { parameters, step } = setUp({});
  near(await numbers(step([300, 0], 400)), [500], 1e-3);
  near(await numbers(parameters.get("b.weight")!), [byHand(0.5, [400], [0], 0.01)]);
});

Deno.test("A learning rate of 0 changes the moments only", async () => {
  const { parameters, state, step } = setUp();
  step([0.3, 0.4], 0.1, 0);
  assert.deepEqual(await numbers(parameters.get("a.weight")!), [1, -2]);
  near(await numbers(state.moments.get("a.weight")!.m), [0.03, 0.04]);
});

Deno.test("An update with no gradients at all gives a norm of 0", async () => {
  const { optimizer, parameters, state, backend } = setUp();
  const { live } = backend.memory();
  const { norm } = optimizer.update(state, { parameters, gradients: new Map(), lr: 1 });
  assert.deepEqual(await numbers(norm), [0]);
  norm[Symbol.dispose]();
  assert.equal(backend.memory().live, live);
});

Deno.test("A step leaves the parameters, the moments and the norm in memory, and the state frees its part", () => {
  const { backend, state, step } = setUp();
  const { live } = backend.memory();
  step([1, 2], 3)[Symbol.dispose]();
  assert.equal(backend.memory().live, live);
  state[Symbol.dispose]();
  assert.equal(backend.memory().live, 12);
});

Deno.test("A state goes out and comes back, and training goes on as if nothing had been", async () => {
  const one = setUp(), two = setUp();
  one.step([0.3, -0.4], 0.5);
  two.step([0.3, -0.4], 0.5);
  const saved = await exportState(one.state);
  assert.deepEqual([...saved.keys()].sort(), [
    ...["exp_avg", "exp_avg_sq", "step"].map((part) => `a.weight.${part}`),
    ...["exp_avg", "exp_avg_sq", "step"].map((part) => `b.weight.${part}`),
  ]);
  const state = importState(one.backend, saved);
  const gradients = new Map([["a.weight", one.backend.from(Float32Array.of(1, 1), [1, 2])]]);
  one.optimizer.update(state, { parameters: one.parameters, gradients, lr: 0.02 });
  two.step([1, 1], null, 0.02);
  const [got, expected] = [one, two].map(({ parameters }) => numbers(parameters.get("a.weight")!));
  assert.deepEqual(await got, await expected);
  assert.deepEqual([...state.moments].map(([name, { step }]) => [name, step]), [["a.weight", 2], [
    "b.weight",
    1,
  ]]);
});

Deno.test("A saved state with a part missing or of another kind is refused by the part's name", async () => {
  const { backend, state } = setUp(), saved = await exportState(state), { live } = backend.memory();
  const without = new Map(saved);
  without.delete("a.weight.exp_avg_sq");
  assert.throws(() => importState(backend, without), /"a\.weight\.exp_avg_sq" as f32, received nothing/);
  const other = new Map(saved).set("b.weight.step", { shape: [1], dtype: "f32", bytes: new Uint8Array(4) });
  assert.throws(() => importState(backend, other), FormatError);
  const short = new Map(saved).set("b.weight.exp_avg", {
    shape: [1],
    dtype: "f32",
    bytes: new Uint8Array(3),
  });
  assert.throws(() => importState(backend, short), FormatError);
  assert.throws(
    () => importState(backend, new Map(saved).set("x", saved.get("b.weight.step")!)),
    /received "x"/,
  );
  assert.equal(backend.memory().live, live);
});

Deno.test("Parameters that are not f32, unknown names and other shapes are refused", () => {
  const { backend, optimizer, parameters, state } = setUp();
  assert.throws(() => optimizer.init(backend, new Map([["ids", backend.zeros([2], "i32")]])), ShapeError);
  const unknown = new Map([["c", backend.zeros([1])]]), wide = new Map([["b.weight", backend.zeros([2])]]);
  const message = /expected a gradient of one of a\.weight, b\.weight; received "c"/;
  assert.throws(() => optimizer.update(state, { parameters, gradients: unknown, lr: 1 }), message);
  assert.throws(() => optimizer.update(state, { parameters, gradients: wide, lr: 1 }), ShapeError);
});
