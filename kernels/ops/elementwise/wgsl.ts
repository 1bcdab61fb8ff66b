/** Elementwise arithmetic on WebGPU. */
import { BYTES, elements, type Spec, type WgslLimits, type WgslPass } from "../../../core/tensor.ts";
import { f32, inputWindow, outputWindow, perElement, runs, u32, window } from "../_wgsl.ts";
import { binary } from "./_binary.ts";
import { castCode } from "./_cast.ts";
import expandCode from "./expand.wgsl" with { type: "text" };
import { type AddAttrs, broadcast, type CastAttrs } from "./mod.ts";

function passes(
  [a, b]: readonly Spec[],
  limits: WgslLimits,
  { name, expression, alpha }: { name: string; expression: string; alpha: number },
): WgslPass[] {
  const count = elements(a!.shape), kind = broadcast(name, a!, b!);
  return runs(count, 4, limits.maxBinding).map((run) => {
    const part = window(run.start, run.count, 4);
    const other = kind === "same" ? part : window(0, elements(b!.shape), 4);
    const first = kind === "row" ? run.start % b!.shape[0]! : 0;
    const period = kind === "same" ? run.count : elements(b!.shape);
    return {
      code: binary(expression),
      bind: [inputWindow(0, part), inputWindow(1, other), outputWindow(0, part)],
      params: [
        ...[run.count, part.shift, other.shift, part.shift, first, period].map(u32),
        f32(alpha),
      ],
      grid: perElement(run.count),
    };
  });
}

/** `a + alpha · b`. */
export function wgslAdd(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { alpha = 1 }: AddAttrs,
  limits: WgslLimits,
): WgslPass[] {
  return passes(inputs, limits, { name: "add", expression: "a + p.alpha * b", alpha });
}

/** `a · b`. */
export function wgslMul(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  _attrs: object,
  limits: WgslLimits,
): WgslPass[] {
  return passes(inputs, limits, { name: "mul", expression: "a * b", alpha: 1 });
}

/** A scalar everywhere. */
export function wgslExpand(
  _inputs: readonly Spec[],
  outputs: readonly Spec[],
  _attrs: object,
  limits: WgslLimits,
): WgslPass[] {
  return runs(elements(outputs[0]!.shape), 4, limits.maxBinding).map((run) => {
    const part = window(run.start, run.count, 4);
    return {
      code: expandCode,
      bind: [{ input: 0 }, outputWindow(0, part)],
      params: [run.count, part.shift].map(u32),
      grid: perElement(run.count),
    };
  });
}

/** Between floating dtypes. */
export function wgslCast(
  inputs: readonly Spec[],
  outputs: readonly Spec[],
  { dtype }: CastAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const from = BYTES[inputs[0]!.dtype], to = BYTES[dtype];
  return runs(elements(outputs[0]!.shape), 4, limits.maxBinding).map((run) => ({
    code: castCode(inputs[0]!.dtype, dtype),
    bind: [
      inputWindow(0, window(run.start, run.count, from)),
      outputWindow(0, window(run.start, run.count, to)),
    ],
    params: [u32(run.count)],
    grid: perElement(to === 4 ? run.count : Math.ceil(run.count / 2)),
  }));
}
