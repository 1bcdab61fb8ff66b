/**
 * What every loss must do, whatever it measures: a suite for plugins of third parties too.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { RowLossOp } from "../../core/plugin.ts";
import type { Backend } from "../../core/tensor.ts";
import type { Open } from "./backend.ts";
import { gauss, randomOf } from "./random.ts";
import { type Register, registrarOf } from "./register.ts";

/** What {@linkcode lossConformance} tests. */
export interface LossSubject {
  /** Begins the tests' names. */
  readonly name: string;
  /** The loss. */
  readonly rows: RowLossOp;
  /** Makes a backend of its own, which each test disposes of. */
  readonly open: Open;
  /** Why the tests are left out, if they are. */
  readonly skip?: string;
  /** Registers each test; `Deno.test` if absent. */
  readonly test?: Register;
}

/** Rows and entries. */
const R = 5, V = 23;

interface Inputs {
  readonly logits: Float32Array;
  readonly targets: Float32Array;
  readonly weights: Float32Array;
}

function drawn(scale = 1): Inputs {
  const random = randomOf("losses");
  const some = () => Float32Array.from({ length: R * V }, () => scale * gauss(random));
  return { logits: some(), targets: some(), weights: new Float32Array(R).fill(1) };
}

async function run(
  backend: Backend,
  rows: RowLossOp,
  { logits, targets, weights }: Inputs,
): Promise<{ loss: Float32Array; dlogits: Float32Array }> {
  using _scope = backend.scope();
  const n = weights.length, shape = [n, logits.length / n];
  const inputs = [backend.from(logits, shape), backend.from(targets, shape), backend.from(weights, [n])];
  const outputs = backend.run(rows, inputs, {});
  assert.deepEqual(outputs.map(({ shape, dtype }) => [shape, dtype]), [[[n], "f32"], [shape, "f32"]]);
  const [loss, dlogits] = await backend.readAll(outputs) as [Float32Array, Float32Array];
  return { loss, dlogits };
}

function assertNear(got: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  const largest = Array.from(expected).reduce((most, x) => Math.max(most, Math.abs(x)), 1e-3);
  Array.from(expected).forEach((x, i) =>
    assert.ok(Math.abs(got[i]! - x) <= 1e-5 * largest, `${what} at ${i}: ${got[i]} is not ${x}`)
  );
}

function sum(values: Float32Array): number {
  return values.reduce((all, x) => all + x, 0);
}

/** Registers the tests of a loss. */
export function lossConformance(subject: LossSubject): void {
  const register = registrarOf(subject), { rows } = subject;
  const test = (name: string, body: (backend: Backend) => Promise<void>) =>
    register(`${subject.name}: ${name}`, async () => {
      using backend = await subject.open();
      await body(backend);
    });

  test("a loss a row and a gradient of the logits' shape, all of them numbers", async (backend) => {
    for (const scale of [1, 30]) {
      const { loss, dlogits } = await run(backend, rows, drawn(scale));
      assert.ok(loss.every(Number.isFinite), `losses ${loss}`);
      assert.ok(dlogits.every(Number.isFinite), "a gradient is no number");
    }
  });

  test("a small step against the gradient lowers the loss", async (backend) => {
    const inputs = drawn(), { loss, dlogits } = await run(backend, rows, inputs);
    const size = dlogits.reduce((all, x) => all + x * x, 0);
    assert.ok(size > 0, "the gradient is zero");
    const step = 1e-2 / Math.sqrt(size);
    const logits = inputs.logits.map((x, i) => x - step * dlogits[i]!);
    const after = await run(backend, rows, { ...inputs, logits });
    assert.ok(sum(after.loss) < sum(loss), `${sum(after.loss)} is not below ${sum(loss)}`);
  });

  test("a weight is a factor of loss and gradient", async (backend) => {
    const inputs = drawn(), factors = Float32Array.of(1, 0.5, 2, 0.25, 3);
    const plain = await run(backend, rows, inputs);
    const weighted = await run(backend, rows, { ...inputs, weights: factors });
    assertNear(weighted.loss, plain.loss.map((x, i) => x * factors[i]!), "loss");
    assertNear(weighted.dlogits, plain.dlogits.map((x, i) => x * factors[Math.floor(i / V)]!), "gradient");
  });

  test("a row of weight 0 gives zeros, whatever it holds", async (backend) => {
    const inputs = drawn(), logits = inputs.logits.slice(), targets = inputs.targets.slice();
    logits.fill(NaN, V, 2 * V);
    targets.fill(Infinity, V, 2 * V);
    const weights = Float32Array.of(1, 0, 1, 1, 1);
    const { loss, dlogits } = await run(backend, rows, { logits, targets, weights });
    assert.equal(Math.abs(loss[1]!), 0);
    assert.ok(dlogits.subarray(V, 2 * V).every((x) => x === 0), "the gradient is not zero");
    assert.ok(loss.every(Number.isFinite) && dlogits.every(Number.isFinite), "another row is no number");
  });

  test("a row does not depend on the rows beside it", async (backend) => {
    const inputs = drawn(), all = await run(backend, rows, inputs);
    for (let row = 0; row < R; row++) {
      const alone = await run(backend, rows, {
        logits: inputs.logits.slice(row * V, (row + 1) * V),
        targets: inputs.targets.slice(row * V, (row + 1) * V),
        weights: inputs.weights.slice(row, row + 1),
      });
      assertNear(alone.loss, all.loss.subarray(row, row + 1), `loss of row ${row}`);
      assertNear(alone.dlogits, all.dlogits.subarray(row * V, (row + 1) * V), `gradient of row ${row}`);
    }
  });

  test("nothing is left in memory", async (backend) => {
    const { live } = backend.memory();
    await run(backend, rows, drawn());
    assert.equal(backend.memory().live, live);
  });
}
