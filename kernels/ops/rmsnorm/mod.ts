/** RMSNorm (Zhang and Sennrich 2019, arXiv 1910.07467), over whole rows or over each head of a row. */
import { ShapeError } from "../../../core/errors.ts";
import { describe, type Op, type Run, type Spec, type Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasm, wasmGrad } from "./wasm.ts";
import { wgsl, wgslGrad } from "./wgsl.ts";

/** Attributes of {@linkcode rmsnormOp}. */
export interface RmsnormAttrs {
  /** Added to the mean square. */
  readonly eps: number;
}

function checked(op: string, inputs: readonly Spec[]): [Spec, Spec] {
  const x = check.input(op, inputs, 0), weight = check.input(op, inputs, 1);
  check.dtype(op, "x", x, ["f32"]);
  check.dtype(op, "weight", weight, ["f32"]);
  check.shape(op, "weight", weight, [-1]);
  const [, width] = check.matrix(op, "x", x), n = weight.shape[0]!;
  if (n === 0 ? width !== 0 : width % n !== 0) {
    throw new ShapeError(op, `expected rows of a multiple of ${n}, received ${describe(x)}`);
  }
  return [x, weight];
}

/**
 * `weight · x / sqrt(mean(x²) + eps)` over each run of `N` entries: x f32 `[T, g·N]`, weight f32 `[N]`. With g > 1 every
 * head of a row is normed by itself, with the same weight (Qwen3's q_norm and k_norm).
 */
export const rmsnormOp: Op<RmsnormAttrs> = {
  name: "rmsnorm",
  infer(inputs) {
    return [checked("rmsnorm", inputs)[0]];
  },
  wgsl,
  wasm,
  grad(run, { inputs, douts, attrs }) {
    return douts[0] ? run(rmsnormGradOp, [inputs[0]!, inputs[1]!, douts[0]], attrs) : [null, null];
  },
};

/** Gradients of {@linkcode rmsnormOp}: (x, weight, dout) → (dx, dweight). */
export const rmsnormGradOp: Op<RmsnormAttrs> = {
  name: "rmsnorm_grad",
  infer(inputs) {
    const [x, weight] = checked("rmsnorm_grad", inputs);
    check.shape("rmsnorm_grad", "dout", check.input("rmsnorm_grad", inputs, 2), x.shape);
    return [x, weight];
  },
  wgsl: wgslGrad,
  wasm: wasmGrad,
};

/** `weight · x / sqrt(mean(x²) + eps)`. */
export function rmsnorm(run: Run, x: Tensor, weight: Tensor, eps: number): Tensor {
  return check.first(run(rmsnormOp, [x, weight], { eps }));
}
