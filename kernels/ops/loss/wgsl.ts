/** Losses of rows on WebGPU. */
import type { Spec, WgslLimits, WgslPass } from "../../../core/tensor.ts";
import { f32, fold, inputWindow, outputWindow, perElement, runs, u32, window } from "../_wgsl.ts";
import exponential from "../exponential.wgsl" with { type: "text" };
import { LOSS_KINDS, type LossKind } from "./kinds.ts";
import klCode from "./kl_rows.wgsl" with { type: "text" };
import lossCode from "./loss_rows.wgsl" with { type: "text" };
import type { PointMassAttrs } from "./point_mass.ts";
import pointMassCode from "./point_mass.wgsl" with { type: "text" };

type Generator = (
  inputs: readonly Spec[],
  outputs: readonly Spec[],
  attrs: object,
  limits: WgslLimits,
) => WgslPass[];

/** A workgroup a row: loss and gradient together. */
function rowPasses(code: string): Generator {
  return (inputs, _outputs, _attrs, limits) => {
    const [rows, width] = inputs[0]!.shape as [number, number];
    return runs(rows, 4 * width, limits.maxBinding).map(({ start, count }) => {
      const part = window(start * width, count * width, 4);
      return {
        code,
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
  };
}

/** Divergence from the verifier. */
export const wgslKl: Generator = (...call) => rowPasses(exponential + klCode)(...call);

/** The other losses; which one is a constant of the code. */
export function wgslLoss(kind: LossKind): Generator {
  return (...call) => rowPasses(`const KIND = ${LOSS_KINDS[kind]}u;\n${exponential}${lossCode}`)(...call);
}

/** Logits that are certain of a token. */
export function wgslPointMass(
  _inputs: readonly Spec[],
  outputs: readonly Spec[],
  { width, rest }: PointMassAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const rows = outputs[0]!.shape[0]!;
  return runs(rows, 4 * width, limits.maxBinding).map(({ start, count }) => {
    const part = window(start * width, count * width, 4);
    return {
      code: pointMassCode,
      bind: [{ input: 0 }, outputWindow(0, part)],
      params: [...[count * width, width, part.shift, start].map(u32), f32(rest)],
      grid: perElement(count * width),
    };
  });
}
