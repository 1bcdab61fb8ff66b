/** Rotary embedding on WebGPU. */
import type { Spec, WgslLimits, WgslPass } from "../../../core/tensor.ts";
import { f32, inputWindow, outputWindow, perElement, runs, u32, window } from "../_wgsl.ts";
import type { RopeAttrs } from "./mod.ts";
import code from "./rope.wgsl" with { type: "text" };

/** Every head of every row rotated. */
export function wgsl(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { headDim, inverse = false }: RopeAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const [rows, width] = inputs[0]!.shape as [number, number];
  if (width === 0) return [];
  return runs(rows, 4 * width, limits.maxBinding).map(({ start, count }) => {
    const part = window(start * width, count * width, 4), pairs = count * width / 2;
    return {
      code,
      bind: [inputWindow(0, part), { input: 1 }, { input: 2 }, { input: 3 }, outputWindow(0, part)],
      params: [
        ...[pairs, part.shift, width / headDim, headDim / 2, start, inputs[1]!.shape[0]!].map(u32),
        f32(inverse ? -1 : 1),
      ],
      grid: perElement(pairs),
    };
  });
}
