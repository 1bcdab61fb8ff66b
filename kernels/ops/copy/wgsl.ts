/** Copies on WebGPU: rectangles of words. */
import { elements, type Spec, type WgslLimits, type WgslPass } from "../../../core/tensor.ts";
import { inputWindow, outputWindow, perElement, runs, u32, window } from "../_wgsl.ts";
import copyCode from "./copy.wgsl" with { type: "text" };
import type { AxisAttrs, SliceAttrs, UnsliceAttrs, WriteRowsAttrs } from "./mod.ts";
import unsliceCode from "./unslice.wgsl" with { type: "text" };

/** A rectangle: `rows` runs of `width` words, `stride` apart, from word `start` on. */
interface Rectangle {
  readonly start: number;
  readonly stride: number;
}

/** Passes that copy a rectangle of an input into one of output 0, in runs of rows that bindings can cover. */
function copyRectangle(
  input: number,
  size: { readonly rows: number; readonly width: number; readonly limits: WgslLimits },
  places: { readonly from: Rectangle; readonly to: Rectangle },
): WgslPass[] {
  const { rows, width, limits } = size, { from, to } = places;
  if (rows === 1 || (from.stride === width && to.stride === width)) {
    return runs(rows * width, 4, limits.maxBinding).map(({ start, count }) =>
      copyPass(input, { rows: 1, width: count }, {
        from: { start: from.start + start, stride: count },
        to: { start: to.start + start, stride: count },
      })
    );
  }
  return runs(rows, 4 * Math.max(from.stride, to.stride), limits.maxBinding).map(({ start, count }) =>
    copyPass(input, { rows: count, width }, {
      from: { start: from.start + start * from.stride, stride: from.stride },
      to: { start: to.start + start * to.stride, stride: to.stride },
    })
  );
}

function copyPass(
  input: number,
  { rows, width }: { readonly rows: number; readonly width: number },
  { from, to }: { readonly from: Rectangle; readonly to: Rectangle },
): WgslPass {
  const source = window(from.start, (rows - 1) * from.stride + width, 4);
  const target = window(to.start, (rows - 1) * to.stride + width, 4);
  return {
    code: copyCode,
    bind: [inputWindow(input, source), outputWindow(0, target)],
    params: [rows, width, source.shift, from.stride, target.shift, to.stride].map(u32),
    grid: perElement(rows * width),
  };
}

/** A tensor as rows around an axis: words before it and after it. */
function around(spec: Spec, axis: number): { outer: number; inner: number } {
  return {
    outer: elements(spec.shape.slice(0, axis)),
    inner: elements(spec.shape.slice(axis + 1)),
  };
}

/** Joins: each input goes to its place. */
export function wgslConcat(
  inputs: readonly Spec[],
  outputs: readonly Spec[],
  { axis }: AxisAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const { outer, inner } = around(outputs[0]!, axis), stride = outputs[0]!.shape[axis]! * inner;
  let start = 0;
  return inputs.flatMap((spec, i) => {
    const width = spec.shape[axis]! * inner, to = { start, stride };
    start += width;
    if (width * outer === 0) return [];
    return copyRectangle(i, { rows: outer, width, limits }, { from: { start: 0, stride: width }, to });
  });
}

/** Cuts a part out. */
export function wgslSlice(
  inputs: readonly Spec[],
  outputs: readonly Spec[],
  { axis, start }: SliceAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const { outer, inner } = around(inputs[0]!, axis), width = outputs[0]!.shape[axis]! * inner;
  if (width * outer === 0) return [];
  const from = { start: start * inner, stride: inputs[0]!.shape[axis]! * inner };
  return copyRectangle(0, { rows: outer, width, limits }, { from, to: { start: 0, stride: width } });
}

/** Puts a part back among zeros. */
export function wgslUnslice(
  inputs: readonly Spec[],
  outputs: readonly Spec[],
  { axis, start }: UnsliceAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const [x, y] = [inputs[0]!, outputs[0]!];
  if (elements(y.shape) === 0) return [];
  const along = y.shape.length === 2 && axis === 0; // whole rows are put back, else parts of rows
  const width = y.shape.at(-1)!, rows = elements(y.shape) / width, part = x.shape.at(-1)!;
  const [rowStart, rowEnd] = along ? [start, start + x.shape[0]!] : [0, rows];
  return runs(rows, 4 * width, limits.maxBinding).map((run) => {
    const low = Math.min(Math.max(rowStart, run.start), run.start + run.count);
    const high = Math.max(low, Math.min(rowEnd, run.start + run.count));
    const source = high > low && part > 0
      ? window((low - rowStart) * part, (high - low) * part, 4)
      : { offset: 0, size: 4, shift: 0 };
    const target = window(run.start * width, run.count * width, 4);
    return {
      code: unsliceCode,
      bind: [inputWindow(0, source), outputWindow(0, target)],
      params: [
        run.count,
        width,
        source.shift,
        part,
        target.shift,
        low - run.start,
        high - run.start,
        along ? 0 : start,
      ].map(u32),
      grid: perElement(run.count * width),
    };
  });
}

/** Writes rows over others. */
export function wgslWriteRows(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { at }: WriteRowsAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const [rows, width] = inputs[1]!.shape as [number, number];
  if (rows * width === 0) return [];
  const to = { start: at * width, stride: width };
  return copyRectangle(1, { rows, width, limits }, { from: { start: 0, stride: width }, to });
}
