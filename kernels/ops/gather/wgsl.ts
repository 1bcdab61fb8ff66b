/** Rows by number on WebGPU. */
import {
  BYTES,
  elements,
  type Spec,
  type WgslBinding,
  type WgslLimits,
  type WgslPass,
} from "../../../core/tensor.ts";
import { bindingOf, fold, inputWindow, outputWindow, perElement, runs, u32, window } from "../_wgsl.ts";
import { gatherCode } from "./_gather.ts";
import addCode from "./scatter_add.wgsl" with { type: "text" };
import clearCode from "./scatter_clear.wgsl" with { type: "text" };
import firstCode from "./scatter_first.wgsl" with { type: "text" };
import type { ScatterAddAttrs } from "./mod.ts";

/** `table[ids]`, in runs of the table's rows and of the output's. */
export function wgslGather(
  inputs: readonly Spec[],
  outputs: readonly Spec[],
  _attrs: object,
  limits: WgslLimits,
): WgslPass[] {
  const [table, ids] = inputs as [Spec, Spec], bytes = BYTES[table.dtype];
  const rows = table.shape[0]!, width = elements(table.shape.slice(1));
  if (width === 0 || elements(outputs[0]!.shape) === 0) return [];
  const code = gatherCode(table.dtype);
  const parts = rows === 0
    ? [{ start: 0, count: 0 }]
    : runs(rows, width * bytes, bindingOf(table.dtype, limits.maxBinding));
  return runs(ids.shape[0]!, 4 * width, limits.maxBinding).flatMap((out) => {
    const target = window(out.start * width, out.count * width, 4);
    return parts.map((part, i) => {
      const source = window(part.start * width, part.count * width, bytes);
      return {
        code,
        bind: [inputWindow(0, source), { input: 1 }, outputWindow(0, target)],
        params: [
          out.count * width,
          width,
          source.shift,
          part.start,
          part.start + part.count,
          rows,
          i === 0 ? 1 : 0,
          target.shift,
          out.start,
        ].map(u32),
        grid: perElement(out.count * width),
      };
    });
  });
}

/** Zeros, and then each number's rows summed by the first of them. */
export function wgslScatterAdd(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { rows }: ScatterAddAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const [count, width] = inputs[0]!.shape as [number, number];
  if (rows * width === 0) return [];
  return runs(rows, 4 * width, limits.maxBinding).flatMap((run) => {
    const part = window(run.start * width, run.count * width, 4), end = run.start + run.count;
    const first: WgslBinding = { scratch: "first", bytes: 4 * run.count };
    return [{
      code: clearCode,
      bind: [outputWindow(0, part), first],
      params: [width, part.shift, run.count].map(u32),
      grid: perElement(run.count * width),
    }, {
      code: firstCode,
      bind: [{ input: 1 }, first],
      params: [count, run.start, end].map(u32),
      grid: perElement(count),
    }, {
      code: addCode,
      bind: [{ input: 0 }, { input: 1 }, first, outputWindow(0, part)],
      params: [count, width, run.start, end, part.shift].map(u32),
      grid: fold(count),
    }];
  });
}
