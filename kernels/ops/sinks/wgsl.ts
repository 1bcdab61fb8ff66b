/** Attention sinks on WebGPU. */
import type { Spec, WgslLimits, WgslPass } from "../../../core/tensor.ts";
import { inputWindow, outputWindow, perElement, runs, u32, window } from "../_wgsl.ts";
import exponential from "../exponential.wgsl" with { type: "text" };
import rest from "./sinks.wgsl" with { type: "text" };

const CODE = exponential + rest;

/** (x, lse, sinks) → x · σ(lse − sink). */
export function wgsl(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  _attrs: object,
  limits: WgslLimits,
): WgslPass[] {
  const [rows, width] = inputs[0]!.shape as [number, number], heads = inputs[2]!.shape[0]!;
  if (rows * width === 0) return [];
  return runs(rows, 4 * width, limits.maxBinding).map((run) => {
    const part = window(run.start * width, run.count * width, 4);
    const sums = window(run.start * heads, run.count * heads, 4);
    return {
      code: CODE,
      bind: [inputWindow(0, part), inputWindow(1, sums), { input: 2 }, outputWindow(0, part)],
      params: [run.count * width, heads, width / heads, part.shift, sums.shift].map(u32),
      grid: perElement(run.count * width),
    };
  });
}
