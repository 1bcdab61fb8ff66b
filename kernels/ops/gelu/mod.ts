/** The GELU activation (Hendrycks and Gimpel 2016, arXiv 1606.08415). */
import type { Op, Run, Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasm } from "./wasm.ts";
import { wgsl } from "./wgsl.ts";

/** Attributes of {@linkcode geluOp}. */
export interface GeluAttrs {
  /** The paper's approximation with a hyperbolic tangent. */
  readonly tanh?: boolean;
}

/**
 * `x · Φ(x)`, f32 of any shape; Φ is the normal distribution.
 *
 * Without a gradient, and refused by a tape: only verifiers have it, and those are not trained.
 */
export const geluOp: Op<GeluAttrs> = {
  name: "gelu",
  infer(inputs) {
    const x = check.input("gelu", inputs, 0);
    check.dtype("gelu", "x", x, ["f32"]);
    return [x];
  },
  wgsl,
  wasm,
};

/** `x · Φ(x)`. */
export function gelu(run: Run, x: Tensor, attrs: GeluAttrs = {}): Tensor {
  return check.first(run(geluOp, [x], attrs));
}
