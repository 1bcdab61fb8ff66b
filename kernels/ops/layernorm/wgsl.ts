/** LayerNorm on WebGPU. */
import type { Spec, WgslLimits, WgslPass } from "../../../core/tensor.ts";
import { f32, fold, inputWindow, outputWindow, runs, u32, window } from "../_wgsl.ts";
import code from "./layernorm.wgsl" with { type: "text" };
import type { LayernormAttrs } from "./mod.ts";

/** (x, weight, bias) → the rows' norms. */
export function wgsl(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { eps }: LayernormAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const [rows, n] = inputs[0]!.shape as [number, number];
  if (rows * n === 0) return [];
  return runs(rows, 4 * n, limits.maxBinding).map((run) => {
    const part = window(run.start * n, run.count * n, 4);
    return {
      code,
      bind: [inputWindow(0, part), { input: 1 }, { input: 2 }, outputWindow(0, part)],
      params: [...[run.count, n, part.shift].map(u32), f32(eps)],
      grid: fold(run.count),
    };
  });
}
