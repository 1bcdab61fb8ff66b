/** Training steps of a small layer on any backend. */
import assert from "node:assert/strict";
import { adamw } from "../../core/optim.ts";
import { Tape } from "../../core/tape.ts";
import type { Backend, TypedArray } from "../../core/tensor.ts";
import * as ops from "../../kernels/ops/mod.ts";
import { layerBatch, layerLoss, layerParameters } from "./layer.ts";
import { toHost } from "./reference/array.ts";
import { ReferenceBackend } from "./reference/backend.ts";

interface Trained {
  /** Loss and gradient norm of each step. */
  readonly log: readonly (readonly number[])[];
  /** Parameters at the end, by name. */
  readonly parameters: ReadonlyMap<string, TypedArray>;
  /** Bytes alive after each step. */
  readonly memory: readonly number[];
}

async function train(backend: Backend, steps: number): Promise<Trained> {
  const parameters = new Map([...layerParameters()].map(([name, x]) => [name, backend.upload(toHost(x))]));
  const batch = layerBatch(backend), optimizer = adamw(ops, { maxNorm: 1 });
  const state = optimizer.init(backend, parameters), log: number[][] = [], memory: number[] = [];
  for (let step = 0; step < steps; step++) {
    {
      using _scope = backend.scope();
      const tape = new Tape(backend, ops).watch(parameters.values());
      const loss = layerLoss(tape.run, parameters, batch);
      const found = tape.gradientsIfAny(loss, [...parameters.values()]);
      const gradients = new Map([...parameters.keys()].map((name, i) => [name, found[i]!]));
      const { norm } = optimizer.update(state, { parameters, gradients, lr: 0.01 });
      log.push((await backend.readAll([loss, norm])).map(([x]) => x!));
    }
    memory.push(backend.memory().live);
  }
  const data = await backend.readAll([...parameters.values()]);
  return { log, memory, parameters: new Map([...parameters.keys()].map((name, i) => [name, data[i]!])) };
}

/**
 * Three steps end where the reference backend's do. Parameters are compared against their movement: Adam divides by
 * the root of a small moment, so that an entry whose gradient is near rounding may move either way.
 */
export async function trainsLikeReference(backend: Backend): Promise<void> {
  using plain = new ReferenceBackend();
  const [got, expected] = [await train(backend, 3), await train(plain, 3)], start = layerParameters();
  for (const [i, [loss, norm]] of expected.log.entries()) {
    const [gotLoss, gotNorm] = got.log[i]!;
    assert.ok(Math.abs(gotLoss! - loss!) <= 2e-5 * loss!, `step ${i}: a loss of ${gotLoss} for ${loss}`);
    assert.ok(Math.abs(gotNorm! - norm!) <= 1e-4 * norm!, `step ${i}: a norm of ${gotNorm} for ${norm}`);
  }
  assert.ok(expected.log[2]![0]! < expected.log[0]![0]!, "the loss falls");
  for (const [name, data] of expected.parameters) {
    const off = Math.hypot(...data.map((x, i) => x - got.parameters.get(name)![i]!));
    const moved = Math.hypot(...data.map((x, i) => x - start.get(name)!.data[i]!));
    assert.ok(moved > 0.01 && off <= 5e-3 * moved, `"${name}" is off by ${off} after a way of ${moved}`);
  }
  assert.deepEqual(got.memory, Array(3).fill(got.memory[0]), "a step leaves nothing behind");
}
