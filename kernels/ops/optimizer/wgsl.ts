/** Optimiser steps on WebGPU. */
import { elements, type Spec, type WgslLimits, type WgslPass } from "../../../core/tensor.ts";
import { f32, inputWindow, outputWindow, perElement, runs, u32, window } from "../_wgsl.ts";
import adamwCode from "./adamw.wgsl" with { type: "text" };
import clipScaleCode from "./clip_scale.wgsl" with { type: "text" };
import type { AdamwAttrs, ClipScaleAttrs } from "./mod.ts";

/** One step in place. */
export function wgslAdamw(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  attrs: AdamwAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const { lr, beta1, beta2, eps, weightDecay, step } = attrs;
  const scalars = [
    1 - lr * weightDecay,
    beta1,
    1 - beta1,
    beta2,
    1 - beta2,
    lr / (1 - beta1 ** step),
    Math.sqrt(1 - beta2 ** step),
    eps,
  ].map(f32);
  return runs(elements(inputs[0]!.shape), 4, limits.maxBinding).map((run) => {
    const part = window(run.start, run.count, 4);
    return {
      code: adamwCode,
      bind: [0, 1, 2].map((i) => outputWindow(i, part)).concat([inputWindow(3, part), { input: 4 }]),
      params: [u32(run.count), u32(part.shift), ...scalars],
      grid: perElement(run.count),
    };
  });
}

/** The factor that clips, and the norm. */
export function wgslClipScale(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { maxNorm }: ClipScaleAttrs,
): WgslPass[] {
  return [{
    code: clipScaleCode,
    bind: [{ input: 0 }, { output: 0 }, { output: 1 }],
    params: [u32(inputs[0]!.shape[0]!), f32(maxNorm)],
    grid: [1, 1, 1],
  }];
}
