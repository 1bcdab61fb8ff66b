/** Mixtures of experts on WebGPU. */
import {
  BYTES,
  type DType,
  elements,
  type Spec,
  type WgslBinding,
  type WgslLimits,
  type WgslPass,
} from "../../../core/tensor.ts";
import { fold, inputWindow, outputWindow, perElement, runs, u32, window } from "../_wgsl.ts";
import exponential from "../exponential.wgsl" with { type: "text" };
import { LINEAR_COLUMNS, linearCode } from "./_linear.ts";
import mixCode from "./mix.wgsl" with { type: "text" };
import {
  type ExpertLinearAttrs,
  type ExpertPlanAttrs,
  expertSizes,
  planTiles,
  type RouteAttrs,
} from "./mod.ts";
import planCode from "./plan.wgsl" with { type: "text" };
import routeRest from "./route.wgsl" with { type: "text" };

const ROUTE_CODE = exponential + routeRest;

/** logits → experts, weights. */
export function wgslRoute(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { count, overAll = false }: RouteAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const [rows, experts] = inputs[0]!.shape as [number, number];
  return runs(rows, 4 * experts, limits.maxBinding).map((run) => {
    const { shift, ...from } = window(run.start * experts, run.count * experts, 4);
    return {
      code: ROUTE_CODE,
      bind: [{ input: 0, ...from }, { output: 0 }, { output: 1 }],
      params: [run.count, experts, count, overAll ? 1 : 0, shift, run.start * count].map(u32),
      grid: fold(run.count),
    };
  });
}

/** experts → plan. */
export function wgslPlan(
  inputs: readonly Spec[],
  outputs: readonly Spec[],
  { experts }: ExpertPlanAttrs,
): WgslPass[] {
  const rows = elements(inputs[0]!.shape);
  if (elements(outputs[0]!.shape) === 0) return [];
  return [{
    code: planCode,
    bind: [{ input: 0 }, { output: 0 }],
    params: [rows, experts, planTiles(rows, experts)].map(u32),
    grid: [1, 1, 1],
  }];
}

/** Entries of an expert's weight in a binding, and their size. */
function stored(dtype: DType, entries: number): { readonly count: number; readonly bytes: number } {
  return dtype === "u8" ? { count: entries / 2, bytes: 1 } : { count: entries, bytes: BYTES[dtype] };
}

/** (x, plan, weight, …) → the rows' products: in runs of experts and of rows, where a binding cannot cover all. */
export function wgslLinear(
  inputs: readonly Spec[],
  outputs: readonly Spec[],
  attrs: ExpertLinearAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const { rows, experts, depth, columns, packed } = expertSizes(inputs, attrs);
  if (elements(outputs[0]!.shape) === 0) return [];
  const { repeat, inputFirst = false, bias = false } = attrs, { dtype } = inputs[2]!;
  const each = stored(dtype, depth * columns), scalesEach = depth * columns / 32;
  const rowBytes = 4 * Math.max(columns, depth);
  return runs(rows, rowBytes, limits.maxBinding).flatMap((part) => {
    const first = Math.floor(part.start / repeat), last = Math.ceil((part.start + part.count) / repeat);
    const xw = window(first * depth, (last - first) * depth, 4);
    const ow = window(part.start * columns, part.count * columns, 4);
    return runs(experts, each.count * each.bytes, limits.maxBinding).map(({ start, count }): WgslPass => {
      const ww = window(start * each.count, count * each.count, each.bytes);
      const sw = window(start * scalesEach, count * scalesEach, 1);
      const bind: WgslBinding[] = [inputWindow(0, xw), { input: 1 }, inputWindow(2, ww)];
      if (packed) bind.push(inputWindow(3, sw));
      if (bias) bind.push({ input: inputs.length - 1 });
      bind.push(outputWindow(0, ow));
      const params = [
        rows,
        depth,
        columns,
        repeat,
        xw.shift,
        first,
        ww.shift,
        packed ? sw.shift : 0,
        start,
        start + count,
        ow.shift,
        part.start,
        part.start + part.count,
      ];
      return {
        code: linearCode(packed ? "mxfp4" : dtype, inputFirst, bias),
        bind,
        params: params.map(u32),
        grid: [Math.ceil(columns / LINEAR_COLUMNS), planTiles(rows, experts), 1],
      };
    });
  });
}

/** (rows, y, weights) → their sum. */
export function wgslMix(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  _attrs: object,
  limits: WgslLimits,
): WgslPass[] {
  const [t, width] = inputs[0]!.shape as [number, number], count = inputs[2]!.shape[1]!;
  if (t * width === 0) return [];
  return runs(t, 4 * width * Math.max(count, 1), limits.maxBinding).map((run) => {
    const rw = window(run.start * width, run.count * width, 4);
    const yw = window(run.start * count * width, run.count * count * width, 4);
    const ww = window(run.start * count, run.count * count, 4);
    return {
      code: mixCode,
      bind: [inputWindow(0, rw), inputWindow(1, yw), inputWindow(2, ww), outputWindow(0, rw)],
      params: [run.count * width, width, count, rw.shift, yw.shift, ww.shift].map(u32),
      grid: perElement(run.count * width),
    };
  });
}
