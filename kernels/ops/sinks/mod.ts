/** Attention sinks: one more logit for each head, without a value (gpt-oss, arXiv 2508.10925; Xiao et al. 2023, arXiv 2309.17453). */
import type { Op, Run, Spec, Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasm } from "./wasm.ts";
import { wgsl } from "./wgsl.ts";

/**
 * x f32 `[T, heads·headDim]`, what attention gives without sinks, lse f32 `[T, heads]`, sinks f32 `[heads]` →
 * `x · σ(lse − sink)`, which is what it gives with them: the sink adds its exponential to a softmax's sum, and nothing else.
 *
 * Without a gradient, and refused by a tape: only verifiers have sinks, and those are not trained.
 */
export const sinksOp: Op<Record<never, never>> = {
  name: "sinks",
  infer(inputs) {
    const [x, lse, sinks] = [0, 1, 2].map((i) => check.input("sinks", inputs, i)) as [Spec, Spec, Spec];
    for (const [name, spec] of [["x", x], ["lse", lse], ["sinks", sinks]] as const) {
      check.dtype("sinks", name, spec, ["f32"]);
    }
    const [rows, heads] = check.matrix("sinks", "lse", lse);
    const [, width] = check.matrix("sinks", "x", x);
    check.shape("sinks", "sinks", sinks, [heads]);
    check.shape("sinks", "x", x, [rows, heads * Math.floor(width / Math.max(heads, 1))]);
    return [x];
  },
  wgsl,
  wasm,
};

/** What attention gives when its softmax has sinks; see {@linkcode sinksOp}. */
export function withSinks(run: Run, x: Tensor, lse: Tensor, sinks: Tensor): Tensor {
  return check.first(run(sinksOp, [x, lse, sinks], {}));
}
