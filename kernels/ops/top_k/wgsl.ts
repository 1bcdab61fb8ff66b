/** The most likely entries of each row on WebGPU: a workgroup takes a row. */
import type { Spec, WgslLimits, WgslPass } from "../../../core/tensor.ts";
import { fold, inputWindow, outputWindow, runs, u32, window } from "../_wgsl.ts";
import type { TopKAttrs } from "./mod.ts";
import code from "./top_k.wgsl" with { type: "text" };
import exponential from "../exponential.wgsl" with { type: "text" };

const TEXT = `${exponential}\n${code}`;

/** x → (logarithms of probabilities, places), in runs of rows that a binding covers. */
export function wgsl(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { count }: TopKAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const [rows, width] = inputs[0]!.shape as [number, number];
  return runs(rows, 4 * width, limits.maxBinding).map((run) => {
    const x = window(run.start * width, run.count * width, 4);
    const y = window(run.start * count, run.count * count, 4);
    return {
      code: TEXT,
      bind: [inputWindow(0, x), outputWindow(0, y), outputWindow(1, y)],
      params: [run.count, width, count, x.shift, y.shift].map(u32),
      grid: fold(run.count),
    };
  });
}
