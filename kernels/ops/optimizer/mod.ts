/** What an optimiser needs on the device: gradient clipping and AdamW. */
import type { Op, Run, Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasmAdamw, wasmClipScale } from "./wasm.ts";
import { wgslAdamw, wgslClipScale } from "./wgsl.ts";

/** Attributes of {@linkcode clipScaleOp}. */
export interface ClipScaleAttrs {
  /** Largest norm left as it is. */
  readonly maxNorm: number;
}

/**
 * Sums of squares f32 `[N]`, one per gradient → factor f32 `[1]` = `min(1, maxNorm / (norm + 1e-6))` and norm f32 `[1]`,
 * the root of their sum (torch's `clip_grad_norm_`).
 */
export const clipScaleOp: Op<ClipScaleAttrs> = {
  name: "clip_scale",
  infer(inputs) {
    const squares = check.input("clip_scale", inputs, 0);
    check.dtype("clip_scale", "squares", squares, ["f32"]);
    check.shape("clip_scale", "squares", squares, [-1]);
    return [{ shape: [1], dtype: "f32" }, { shape: [1], dtype: "f32" }];
  },
  wgsl: wgslClipScale,
  wasm: wasmClipScale,
};

/** Attributes of {@linkcode adamwOp}. */
export interface AdamwAttrs {
  /** Learning rate of this step. */
  readonly lr: number;
  /** Decay of the first moment. */
  readonly beta1: number;
  /** Decay of the second moment. */
  readonly beta2: number;
  /** Added to the root of the second moment. */
  readonly eps: number;
  /** Decoupled weight decay. */
  readonly weightDecay: number;
  /** Number of this step, from 1. */
  readonly step: number;
}

/**
 * One AdamW step in place (Loshchilov and Hutter 2019, arXiv 1711.05101, as torch orders it): parameter, first and second
 * moment, gradient f32 of one shape, factor of the gradient f32 `[1]`.
 * `p ← p(1 − lr·wd); m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; p ← p − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + eps)`.
 */
export const adamwOp: Op<AdamwAttrs> = {
  name: "adamw",
  alias: { 0: 0, 1: 1, 2: 2 },
  infer(inputs) {
    const parameter = check.input("adamw", inputs, 0);
    for (const [i, name] of ["parameter", "first moment", "second moment", "gradient"].entries()) {
      const spec = check.input("adamw", inputs, i);
      check.dtype("adamw", name, spec, ["f32"]);
      check.shape("adamw", name, spec, parameter.shape);
    }
    check.shape("adamw", "factor", check.input("adamw", inputs, 4), [1]);
    return [parameter, parameter, parameter];
  },
  wgsl: wgslAdamw,
  wasm: wasmAdamw,
};

/** The factor that clips, and the norm. */
export function clipScale(run: Run, squares: Tensor, maxNorm: number): { factor: Tensor; norm: Tensor } {
  const [factor, norm] = run(clipScaleOp, [squares], { maxNorm });
  return { factor: factor!, norm: norm! };
}
