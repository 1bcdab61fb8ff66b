/** GELU on WebGPU. */
import { elements, type Spec, type WgslLimits, type WgslPass } from "../../../core/tensor.ts";
import { inputWindow, outputWindow, perElement, runs, u32, window } from "../_wgsl.ts";
import exponential from "../exponential.wgsl" with { type: "text" };
import rest from "./gelu.wgsl" with { type: "text" };
import type { GeluAttrs } from "./mod.ts";

const CODE = exponential + rest;

/** x → x · Φ(x). */
export function wgsl(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { tanh = false }: GeluAttrs,
  limits: WgslLimits,
): WgslPass[] {
  return runs(elements(inputs[0]!.shape), 4, limits.maxBinding).map((run) => {
    const part = window(run.start, run.count, 4);
    return {
      code: CODE,
      bind: [inputWindow(0, part), outputWindow(0, part)],
      params: [run.count, part.shift, tanh ? 1 : 0].map(u32),
      grid: perElement(run.count),
    };
  });
}
