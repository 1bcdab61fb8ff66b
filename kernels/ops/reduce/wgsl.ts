/** Sums and the argmax on WebGPU: trees over workgroups, the same order at every run. */
import {
  elements,
  type Spec,
  type WgslBinding,
  type WgslLimits,
  type WgslPass,
} from "../../../core/tensor.ts";
import { fold, inputWindow, rowsOf, runs, u32, window } from "../_wgsl.ts";
import argmaxCode from "./argmax.wgsl" with { type: "text" };
import type { SumAttrs } from "./mod.ts";
import sumCode from "./sum.wgsl" with { type: "text" };
import sumRowsCode from "./sum_rows.wgsl" with { type: "text" };

/** Entries that one workgroup of the sum takes. */
const CHUNK = 4096;
/** Rows that one invocation of the column sums takes. */
const ROWS = 64;

/** The sum of all entries, or of their squares. */
export function wgslSum(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { square = false }: SumAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const count = elements(inputs[0]!.shape);
  const parts = runs(count, 4, limits.maxBinding - 4 * CHUNK);
  if (parts.length === 0) parts.push({ start: 0, count: 0 });
  const passes: WgslPass[] = [];
  let sums = 0;
  const first = parts.map((part) => {
    const at = { ...part, to: sums };
    sums += Math.max(1, Math.ceil(part.count / CHUNK));
    return at;
  });
  let target = sumTarget(sums, 0);
  for (const { start, count, to } of first) {
    const { shift, ...from } = window(start, count, 4);
    passes.push({
      code: sumCode,
      bind: [{ input: 0, ...from }, target],
      params: [count, shift, square ? 1 : 0, to].map(u32),
      grid: fold(Math.max(1, Math.ceil(count / CHUNK))),
    });
  }
  for (let level = 1; sums > 1; level++) {
    const left = Math.ceil(sums / CHUNK), source = target;
    target = sumTarget(left, level);
    passes.push({
      code: sumCode,
      bind: [source, target],
      params: [sums, 0, 0, 0].map(u32),
      grid: fold(left),
    });
    sums = left;
  }
  return passes;
}

function sumTarget(sums: number, level: number): WgslBinding {
  return sums === 1 ? { output: 0 } : { scratch: `sums${level % 2}`, bytes: 4 * sums };
}

/** Passes that add up the rows of a matrix, `[rows, width]` in `source`, to `target`. */
export function sumRowsPasses(
  source: { readonly rows: number; readonly width: number; bind(start: number, count: number): WgslBinding },
  target: WgslBinding,
  limits: WgslLimits,
): WgslPass[] {
  const { rows, width } = source, passes: WgslPass[] = [];
  if (width === 0) return [];
  const columns = Math.ceil(width / 64);
  const most = Math.floor(Math.min(limits.maxBinding / (4 * width), limits.maxWorkgroups * ROWS) / ROWS) *
    ROWS;
  const step = Math.max(ROWS, most);
  let sums = Math.max(1, Math.ceil(rows / ROWS));
  const place = (count: number, level: number): WgslBinding =>
    count === 1 ? target : { scratch: `rows${level % 2}`, bytes: 4 * count * width };
  let to = place(sums, 0);
  for (let start = 0; start < Math.max(rows, 1); start += step) {
    const count = Math.min(step, rows - start), { shift } = window(start * width, count * width, 4);
    passes.push({
      code: sumRowsCode,
      bind: [source.bind(start, count), to],
      params: [count, width, shift, start / ROWS].map(u32),
      grid: [columns, Math.max(1, Math.ceil(count / ROWS)), 1],
    });
  }
  for (let level = 1; sums > 1; level++) {
    const left = Math.ceil(sums / ROWS), from = to;
    to = place(left, level);
    passes.push({
      code: sumRowsCode,
      bind: [from, to],
      params: [sums, width, 0, 0].map(u32),
      grid: [columns, left, 1],
    });
    sums = left;
  }
  return passes;
}

/** Column sums. */
export function wgslSumRows(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  _attrs: object,
  limits: WgslLimits,
): WgslPass[] {
  const [rows, width] = rowsOf(inputs[0]!.shape);
  const bind = (start: number, count: number) => inputWindow(0, window(start * width, count * width, 4));
  return sumRowsPasses({ rows, width, bind }, { output: 0 }, limits);
}

/** Place of the largest entry of each row. */
export function wgslArgmax(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  _attrs: object,
  limits: WgslLimits,
): WgslPass[] {
  const [rows, width] = inputs[0]!.shape as [number, number];
  return runs(rows, 4 * width, limits.maxBinding).map(({ start, count }) => {
    const { shift, ...from } = window(start * width, count * width, 4);
    return {
      code: argmaxCode,
      bind: [{ input: 0, ...from }, { output: 0 }],
      params: [count, width, shift, start].map(u32),
      grid: fold(count),
    };
  });
}
