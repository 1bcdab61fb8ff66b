/** SwiGLU on WebGPU. */
import { elements, type Spec, type WgslLimits, type WgslPass } from "../../../core/tensor.ts";
import { f32, inputWindow, outputWindow, perElement, runs, u32, window } from "../_wgsl.ts";
import exponential from "../exponential.wgsl" with { type: "text" };
import clampedRest from "./clamped.wgsl" with { type: "text" };
import type { ClampedSwigluAttrs } from "./mod.ts";
import gradRest from "./swiglu_grad.wgsl" with { type: "text" };
import rest from "./swiglu.wgsl" with { type: "text" };

const CODE = exponential + rest;
const CLAMPED_CODE = exponential + clampedRest;
const GRAD_CODE = exponential + gradRest;

function passes(
  specs: { inputs: readonly Spec[]; outputs: readonly Spec[] },
  code: string,
  limits: WgslLimits,
): WgslPass[] {
  return runs(elements(specs.inputs[0]!.shape), 4, limits.maxBinding).map((run) => {
    const part = window(run.start, run.count, 4);
    return {
      code,
      bind: [
        ...specs.inputs.map((_, i) => inputWindow(i, part)),
        ...specs.outputs.map((_, i) => outputWindow(i, part)),
      ],
      params: [run.count, part.shift].map(u32),
      grid: perElement(run.count),
    };
  });
}

/** `silu(gate) · up`. */
export function wgsl(
  inputs: readonly Spec[],
  outputs: readonly Spec[],
  _attrs: object,
  limits: WgslLimits,
): WgslPass[] {
  return passes({ inputs, outputs }, CODE, limits);
}

/** Gradients by gate and up. */
export function wgslGrad(
  inputs: readonly Spec[],
  outputs: readonly Spec[],
  _attrs: object,
  limits: WgslLimits,
): WgslPass[] {
  return passes({ inputs, outputs }, GRAD_CODE, limits);
}

/** Interleaved gates and ups → the clamped gate. */
export function wgslClamped(
  _inputs: readonly Spec[],
  outputs: readonly Spec[],
  { alpha, limit }: ClampedSwigluAttrs,
  limits: WgslLimits,
): WgslPass[] {
  return runs(elements(outputs[0]!.shape), 8, limits.maxBinding).map((run) => {
    const from = window(2 * run.start, 2 * run.count, 4), to = window(run.start, run.count, 4);
    return {
      code: CLAMPED_CODE,
      bind: [inputWindow(0, from), outputWindow(0, to)],
      params: [...[run.count, from.shift, to.shift].map(u32), f32(alpha), f32(limit)],
      grid: perElement(run.count),
    };
  });
}
