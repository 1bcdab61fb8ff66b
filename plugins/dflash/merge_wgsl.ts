/** Merging two attentions on WebGPU. */
import type { Spec, WgslLimits, WgslPass } from "../../core/tensor.ts";
import { fold, inputWindow, outputWindow, runs, u32, window } from "../../kernels/ops/_wgsl.ts";
import code from "./merge.wgsl" with { type: "text" };

/** The passes, as many rows each as a binding covers. */
export function mergeWgsl(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { headDim }: { readonly headDim: number },
  limits: WgslLimits,
): WgslPass[] {
  const [rows, width] = inputs[0]!.shape as [number, number], heads = inputs[1]!.shape[1]!;
  return runs(rows, 4 * width, limits.maxBinding).map(({ start, count }) => {
    const entries = window(start * width, count * width, 4), sums = window(start * heads, count * heads, 4);
    return {
      code,
      bind: [
        inputWindow(0, entries),
        inputWindow(1, sums),
        inputWindow(2, entries),
        inputWindow(3, sums),
        outputWindow(0, entries),
        outputWindow(1, sums),
      ],
      params: [count * width, headDim, entries.shift, sums.shift].map(u32),
      grid: fold(Math.ceil(count * width / 64)),
    };
  });
}
