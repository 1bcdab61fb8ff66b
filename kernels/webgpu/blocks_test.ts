import assert from "node:assert/strict";
import type { Backend, DType, Tensor } from "../../core/tensor.ts";
import * as ops from "../ops/mod.ts";
import { onGpu } from "./_testing.ts";
import { openWebgpu } from "./mod.ts";

/** Bytes that a binding may cover here: tensors of some hundred rows are worked in several blocks. */
const LIMIT = 16384;

/** Numbers from −1 to 1 that depend on the place alone. */
function wave(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i * 12.9898) * Math.cos(i * 0.317));
}

/** Runs a program on a backend with the adapter's limit and on one with a small limit, and compares. */
async function alike(program: (backend: Backend) => Tensor[]): Promise<void> {
  using whole = await openWebgpu();
  using parts = await openWebgpu({ maxBinding: LIMIT });
  const expected = await whole.readAll(program(whole)), found = await parts.readAll(program(parts));
  found.forEach((data, i) => {
    assert.equal(data.length, expected[i]!.length);
    const largest = Math.max(...expected[i]!.map(Math.abs));
    assert.ok(largest > 0);
    data.forEach((value, j) => {
      const error = Math.abs(value - expected[i]![j]!);
      assert.ok(
        error <= 2e-6 * largest,
        `output ${i} at ${j}: expected ${expected[i]![j]}, received ${value}`,
      );
    });
  });
}

function tensor(backend: Backend, shape: readonly number[], dtype: DType = "f32"): Tensor {
  const floats = backend.from(wave(shape.reduce((a, b) => a * b, 1)), shape);
  return ops.cast(backend.run, floats, dtype);
}

for (const [transA, transB] of [[false, false], [false, true], [true, false], [true, true]] as const) {
  for (const dtype of ["f32", "bf16", "f16"] as const) {
    const name = `a${transA ? "ᵀ" : ""} · b${transB ? "ᵀ" : ""} with ${dtype}`;
    onGpu(
      `${name} is the same in blocks that a binding can cover`,
      () =>
        alike((backend) =>
          [[3, 300, 37], [70, 129, 90], [5, 40, 260]].flatMap(([m, n, k]) => {
            const a = tensor(backend, transA ? [k!, m!] : [m!, k!]);
            const b = tensor(backend, transB ? [n!, k!] : [k!, n!], dtype);
            const c = tensor(backend, [m!, n!]);
            return [
              ops.matmul(backend.run, a, b, { transA, transB }),
              ops.matmulAdd(backend.run, a, b, c, { transA, transB }),
            ];
          })
        ),
    );
  }
}

onGpu("Batches are the same one entry at a time", () =>
  alike((backend) => {
    const a = tensor(backend, [7, 9, 33]),
      b = tensor(backend, [7, 33, 21]),
      shared = tensor(backend, [33, 21]);
    return [ops.matmul(backend.run, a, b), ops.matmul(backend.run, a, shared)];
  }));

onGpu("Rows are moved, looked up and added up in blocks", () =>
  alike((backend) => {
    const { run } = backend, x = tensor(backend, [200, 33]), table = tensor(backend, [300, 33], "bf16");
    const ids = backend.from(Int32Array.from({ length: 200 }, (_, i) => (i * 37) % 320 - 5), [200]);
    return [
      ops.concat(run, [x, x, x], 0),
      ops.concat(run, [x, x], 1),
      ops.slice(run, x, { axis: 0, start: 3, end: 190 }),
      ops.slice(run, x, { axis: 1, start: 3, end: 30 }),
      run(ops.unsliceOp, [x], { axis: 0, start: 5, length: 400 })[0]!,
      run(ops.unsliceOp, [x], { axis: 1, start: 5, length: 40 })[0]!,
      ops.writeRows(run, tensor(backend, [500, 33]), x, 250),
      ops.gather(run, table, ids),
    ];
  }));

onGpu("Elements and rows are computed in blocks", () =>
  alike((backend) => {
    const { run } = backend, x = tensor(backend, [200, 34]), y = ops.mul(run, x, tensor(backend, [34]));
    const weight = tensor(backend, [34]),
      positions = backend.from(Int32Array.from({ length: 200 }, (_, i) => i), [200]);
    const tables = { cos: tensor(backend, [200, 1]), sin: tensor(backend, [200, 1]) };
    return [
      ops.add(run, x, y, { alpha: 3 }),
      ops.cast(run, ops.cast(run, x, "f16"), "f32"),
      ops.swiglu(run, x, y),
      ...run(ops.swigluGradOp, [x, y, x], {}),
      ops.expand(run, ops.sum(run, x), [3000]),
      ops.sum(run, x, { square: true }),
      ops.sumRows(run, x),
      ops.argmax(run, x),
      ops.rmsnorm(run, x, weight, 1e-5),
      ...run(ops.rmsnormGradOp, [x, weight, y], { eps: 1e-5 }),
      ops.rope(run, x, tables, positions, 2),
      ...[ops.klRowsOp, ops.totalVariationRowsOp, ops.hybridRowsOp].flatMap((op) =>
        run(op, [x, y, tensor(backend, [200])], {})
      ),
      ops.pointMass(run, positions, 300),
    ];
  }));
