/** Labels as a distribution, so that every loss takes them. */
import type { Op, Run, Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasmPointMass } from "./wasm.ts";
import { wgslPointMass } from "./wgsl.ts";

/** Attributes of {@linkcode pointMassOp}. */
export interface PointMassAttrs {
  /** Tokens of the vocabulary. */
  readonly width: number;
  /** Logit of all other tokens. */
  readonly rest: number;
}

/** labels i32 `[R]` → logits f32 `[R, width]`: 0 at the label, `rest` elsewhere; `rest` everywhere for a label outside. */
export const pointMassOp: Op<PointMassAttrs> = {
  name: "point_mass",
  infer(inputs, { width }) {
    const labels = check.input("point_mass", inputs, 0);
    check.dtype("point_mass", "labels", labels, ["i32"]);
    check.shape("point_mass", "labels", labels, [-1]);
    return [{ shape: [labels.shape[0]!, width], dtype: "f32" }];
  },
  wgsl: wgslPointMass,
  wasm: wasmPointMass,
};

/** Logits whose softmax is 1 at each row's label and 0 elsewhere. */
export function pointMass(run: Run, labels: Tensor, width: number): Tensor {
  return check.first(run(pointMassOp, [labels], { width, rest: -1e4 }));
}
