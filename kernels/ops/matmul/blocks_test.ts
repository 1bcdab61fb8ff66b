import assert from "node:assert/strict";
import { ShapeError } from "../../../core/errors.ts";
import { type Backend, BYTES, type Op, type Tensor } from "../../../core/tensor.ts";
import { open } from "../../mod.ts";
import { gatherOp } from "../gather/mod.ts";
import { linearsOp } from "../linears/mod.ts";
import { matmulOp } from "./mod.ts";

const DTYPES = ["q8_0", "q4_0", "q4_1"] as const;

function weight(backend: Backend, dtype: typeof DTYPES[number]): Tensor {
  return backend.upload({ shape: [3, 64], dtype, bytes: new Uint8Array(3 * 64 * BYTES[dtype]) });
}

Deno.test("a weight in blocks has no gradient, and the refusal says which dtypes have one", async () => {
  using backend = await open("wasm");
  const x = backend.zeros([2, 64]), d = backend.zeros([2, 3]), ids = backend.zeros([2], "i32");
  for (const dtype of DTYPES) {
    const w = weight(backend, dtype);
    const calls: [Op<object>, Tensor[], Tensor, boolean[]][] = [
      [matmulOp, [x, w], d, [true, true]],
      [linearsOp, [x, w], d, [true, true]],
      [gatherOp, [w, ids], x, [true, false]],
    ];
    for (const [op, inputs, dout, needs] of calls) {
      const attrs = { transB: true }, call = { inputs, outputs: [], douts: [dout], attrs, needs };
      assert.throws(
        () => op.grad!(backend.run, call),
        (error) => error instanceof ShapeError && /f32, bf16 or f16/.test(error.message),
        `${op.name} ${dtype}`,
      );
    }
  }
});

Deno.test("blocks are held as they come: read back as bytes, refused as another dtype or in parts", async () => {
  using backend = await open("wasm");
  const bytes = Uint8Array.from({ length: 64 * BYTES.q4_1 }, (_, i) => 7 * i);
  const tensor = backend.upload({ shape: [2, 32], dtype: "q4_1", bytes });
  assert.deepEqual(await backend.read(tensor), bytes);
  assert.throws(() => backend.upload({ shape: [2, 32], dtype: "q4_1", bytes }, "f32"), ShapeError);
  const half = bytes.subarray(0, 32 * BYTES.q4_1);
  assert.throws(() => backend.upload({ shape: [2, 16], dtype: "q4_1", bytes: half }), /whole blocks of 32/);
});
