/** Several linear layers over one input: a decode step's projections cost one launch instead of three. */
import { ShapeError } from "../../../core/errors.ts";
import type { Op, Run, Spec, Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { matmul, matmulAdd, type MatmulAttrs, sizes } from "../matmul/mod.ts";
import { wasm } from "./wasm.ts";
import { wgsl } from "./wgsl.ts";

/** (x f32 `[T, K]`, weights `[Nᵢ, K]` in f32, bf16, f16 or blocks, of one dtype) → `x · weightᵢᵀ` f32 `[T, Nᵢ]` each. */
export const linearsOp: Op<Pick<MatmulAttrs, "steady">> = {
  name: "linears",
  infer([x, ...weights]) {
    const first = check.input("linears", weights, 0);
    return weights.map((weight): Spec => {
      if (weight.dtype !== first.dtype) {
        throw new ShapeError(
          "linears",
          `expected weights of one dtype, received ${first.dtype} and ${weight.dtype}`,
        );
      }
      const { m, n } = sizes("linears", [x!, weight], { transB: true });
      check.matrix("linears", "x", x!);
      return { shape: [m, n], dtype: "f32" };
    });
  },
  wgsl,
  wasm,
  grad(run, { inputs, douts, needs }) {
    const [x, ...weights] = inputs as [Tensor, ...Tensor[]];
    let dx: Tensor | null = null;
    for (const [i, weight] of weights.entries()) {
      if (needs[i + 1]) check.trainable("linears", `weight ${i}`, weight);
      const d = douts[i];
      if (!needs[0] || !d) continue;
      dx = dx ? matmulAdd(run, d, weight, dx) : matmul(run, d, weight);
    }
    return [
      dx,
      ...weights.map((_, i) => needs[i + 1] && douts[i] ? matmul(run, douts[i], x, { transA: true }) : null),
    ];
  },
};

/** `x · weightᵢᵀ` for each weight `[Nᵢ, K]`. */
export function linears(run: Run, x: Tensor, weights: readonly Tensor[]): Tensor[] {
  return run(linearsOp, [x, ...weights], {});
}
