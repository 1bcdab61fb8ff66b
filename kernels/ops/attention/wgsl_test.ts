import assert from "node:assert/strict";
import type { Backend, TypedArray } from "../../../core/tensor.ts";
import { open } from "../../mod.ts";
import { onGpu } from "../../webgpu/_testing.ts";
import { attentionOp } from "./mod.ts";

interface Case {
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly diagonals: number;
}

async function attend(backend: Backend, c: Case): Promise<TypedArray[]> {
  const wave = (rows: number, width: number, step: number) => {
    const data = Float32Array.from({ length: rows * width }, (_, i) => 1.5 * Math.sin(i * step));
    return backend.from(data, [rows, width]);
  };
  const ends = Array.from({ length: c.queries }, (_, t) => c.keys - c.diagonals * c.queries - 3 * t);
  const ranges = Int32Array.from(ends.flatMap((end, t) => t === 3 ? [700, 300] : [100 * t, end]));
  const inputs = [
    wave(c.queries, c.heads * c.headDim, 0.7),
    wave(c.keys, c.kvHeads * c.headDim, 1.3),
    wave(c.keys, c.kvHeads * c.headDim, 2.9),
    backend.from(ranges, [c.queries, 2]),
  ];
  return await backend.readAll(backend.run(attentionOp, inputs, { ...c, scale: 1 / Math.sqrt(c.headDim) }));
}

const CASES: readonly Case[] = [
  { queries: 1, keys: 1024, heads: 9, kvHeads: 3, headDim: 64, diagonals: 0 },
  { queries: 5, keys: 3000, heads: 4, kvHeads: 2, headDim: 33, diagonals: 0 },
  { queries: 4, keys: 2100, heads: 2, kvHeads: 1, headDim: 16, diagonals: 2 },
];

for (const c of CASES) {
  const { queries, keys, diagonals } = c;
  onGpu(
    `Few queries (${queries}) over many keys (${keys}, ${diagonals} diagonals) are split and joined`,
    async () => {
      using webgpu = await open("webgpu");
      using wasm = await open("wasm", { threads: 1 });
      const [found, expected] = [await attend(webgpu, c), await attend(wasm, c)];
      found.forEach((data, output) => {
        // An output is a mean of values up to 1.5 and may be as small as it likes: its rounding goes by theirs.
        const size = output === 0
          ? 1.5
          : Math.max(...[...expected[1]!].map((x) => x > -1e29 ? Math.abs(x) : 0));
        data.forEach((value, i) => {
          const error = Math.abs(value - expected[output]![i]!);
          const bound = value < -1e29 ? 1e-6 * 1e30 : 1e-6 * size;
          assert.ok(error <= bound, `output ${output} at ${i}: off by ${error} of at most ${bound}`);
        });
      });
    },
  );
}
