/** SwiGLU on WebGPU. */
import { elements, type Spec, type WgslLimits, type WgslPass } from "../../../core/tensor.ts";
import { inputWindow, outputWindow, perElement, runs, u32, window } from "../_wgsl.ts";
import exponential from "../exponential.wgsl" with { type: "text" };
import gradRest from "./swiglu_grad.wgsl" with { type: "text" };
import rest from "./swiglu.wgsl" with { type: "text" };

const CODE = exponential + rest;
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
