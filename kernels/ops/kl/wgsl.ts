/** KL divergence of rows on WebGPU. */
import type { Spec, WgslLimits, WgslPass } from "../../../core/tensor.ts";
import { fold, inputWindow, outputWindow, runs, u32, window } from "../_wgsl.ts";
import exponential from "../exponential.wgsl" with { type: "text" };
import rowsCode from "./kl_rows.wgsl" with { type: "text" };

const CODE = exponential + rowsCode;

/** Loss and gradient of every row. */
export function wgsl(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  _attrs: object,
  limits: WgslLimits,
): WgslPass[] {
  const [rows, width] = inputs[0]!.shape as [number, number];
  return runs(rows, 4 * width, limits.maxBinding).map(({ start, count }) => {
    const part = window(start * width, count * width, 4);
    return {
      code: CODE,
      bind: [
        inputWindow(0, part),
        inputWindow(1, part),
        { input: 2 },
        { output: 0 },
        outputWindow(1, part),
      ],
      params: [count, width, part.shift, start].map(u32),
      grid: fold(count),
    };
  });
}
