/** RMSNorm on WebGPU. */
import {
  elements,
  type Spec,
  type WgslBinding,
  type WgslLimits,
  type WgslPass,
} from "../../../core/tensor.ts";
import { f32, fold, inputWindow, outputWindow, runs, u32, window } from "../_wgsl.ts";
import { sumRowsPasses } from "../reduce/wgsl.ts";
import { normCode, normGradCode } from "./_norm.ts";
import type { RmsnormAttrs } from "./mod.ts";
import weightGradCode from "./weight_grad.wgsl" with { type: "text" };

/** Groups that one invocation of the weight's gradient sums. */
const GROUPS = 64;

function groupsOf(inputs: readonly Spec[]): { groups: number; width: number; size: number } {
  const width = inputs[1]!.shape[0]!, count = elements(inputs[0]!.shape);
  return { groups: width === 0 ? 0 : count / width, width, size: width <= 256 ? 64 : 256 };
}

/** Every group normed. */
export function wgsl(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { eps }: RmsnormAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const { groups, width, size } = groupsOf(inputs), code = normCode(size);
  return runs(groups, 4 * width, limits.maxBinding).map(({ start, count }) => {
    const part = window(start * width, count * width, 4);
    return {
      code,
      bind: [inputWindow(0, part), { input: 1 }, outputWindow(0, part)],
      params: [...[count, width, part.shift, start].map(u32), f32(eps)],
      grid: fold(count),
    };
  });
}

/** Gradients by x and by the weight. */
export function wgslGrad(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { eps }: RmsnormAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const { groups, width, size } = groupsOf(inputs), code = normGradCode(size);
  if (width === 0) return [];
  if (groups === 0) {
    return sumRowsPasses({ rows: 0, width, bind: () => ({ input: 1 }) }, { output: 1 }, limits);
  }
  const roots: WgslBinding = { scratch: "roots", bytes: 4 * groups };
  const blocks = Math.ceil(groups / GROUPS), few = blocks === 1;
  const sums: WgslBinding = few ? { output: 1 } : { scratch: "sums", bytes: 4 * blocks * width };
  const parts = runs(groups, 4 * width, limits.maxBinding);
  const passes: WgslPass[] = parts.flatMap(({ start, count }) => {
    const part = window(start * width, count * width, 4), sizes = [count, width, part.shift, start].map(u32);
    return [{
      code,
      bind: [inputWindow(0, part), { input: 1 }, inputWindow(2, part), outputWindow(0, part), roots],
      params: [...sizes, f32(eps)],
      grid: fold(count),
    }, {
      code: weightGradCode,
      bind: [inputWindow(0, part), inputWindow(2, part), roots, sums],
      params: sizes,
      grid: [Math.ceil(width / 64), Math.ceil(count / GROUPS), 1],
    }];
  });
  if (few) return passes;
  const bind = (start: number, count: number): WgslBinding => {
    if (start === 0 && count === blocks) return sums;
    throw new RangeError(`expected all ${blocks} sums in one binding`);
  };
  return [...passes, ...sumRowsPasses({ rows: blocks, width, bind }, { output: 1 }, limits)];
}
