/** LayerNorm (Ba et al. 2016, arXiv 1607.06450), which vision towers have. */
import type { Op, Run, Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasm } from "./wasm.ts";
import { wgsl } from "./wgsl.ts";

/** Attributes of {@linkcode layernormOp}. */
export interface LayernormAttrs {
  /** Added to the variance. */
  readonly eps: number;
}

/**
 * x f32 `[T, N]`, weight and bias f32 `[N]` → `weight · (x − mean) / sqrt(variance + eps) + bias` for each row.
 *
 * Without a gradient, and refused by a tape: only verifiers have it, and those are not trained.
 */
export const layernormOp: Op<LayernormAttrs> = {
  name: "layernorm",
  infer(inputs) {
    const x = check.input("layernorm", inputs, 0), [, n] = check.matrix("layernorm", "x", x);
    check.dtype("layernorm", "x", x, ["f32"]);
    for (const [i, name] of [[1, "weight"], [2, "bias"]] as const) {
      const spec = check.input("layernorm", inputs, i);
      check.dtype("layernorm", name, spec, ["f32"]);
      check.shape("layernorm", name, spec, [n]);
    }
    return [x];
  },
  wgsl,
  wasm,
};

/** LayerNorm of each row. */
export function layernorm(
  run: Run,
  x: Tensor,
  { weight, bias, eps }: LayernormAttrs & { readonly weight: Tensor; readonly bias: Tensor },
): Tensor {
  return check.first(run(layernormOp, [x, weight, bias], { eps }));
}
