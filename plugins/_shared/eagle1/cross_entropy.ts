/** Cross-entropy of the draft's distribution against the verifier's, over all tokens and over the verifier's likeliest. */
import { ShapeError } from "../../../core/errors.ts";
import { describe, type Op, type Spec } from "../../../core/tensor.ts";
import { wasmRows, wgslRows } from "./cross_entropy_rows.ts";

/** Which sums of `−q log p` make the loss: q the verifier's distribution, p the draft's. */
export interface CrossEntropyAttrs {
  /** Factor of the sum over all tokens. */
  readonly all: number;
  /** Factor of the sum over the verifier's likeliest tokens. */
  readonly top: number;
  /** How many those are. */
  readonly count: number;
}

function floats(op: string, name: string, spec: Spec | undefined, shape: readonly number[]): void {
  const fits = spec?.dtype === "f32" && spec.shape.length === shape.length &&
    shape.every((axis, i) => axis < 0 || axis === spec.shape[i]);
  if (fits) return;
  const words = shape.map((axis) => axis < 0 ? "?" : axis).join(", ");
  throw new ShapeError(
    op,
    `expected "${name}" as f32[${words}], received ${spec ? describe(spec) : "none"}`,
  );
}

/**
 * Row by row: logits, targets f32 `[R, V]`, weights f32 `[R]` → loss f32 `[R]` = `weight · (all · H(all tokens) + top ·
 * H(top tokens))` with `H(S) = −Σ_{x ∈ S} softmax(targets)ₓ · log softmax(logits)ₓ`, and dlogits f32 `[R, V]`. Of equal
 * targets the lower token is the likelier. Rows of weight 0 are not computed: zeros.
 */
export const crossEntropyRowsOp: Op<CrossEntropyAttrs> = {
  name: "eagle_cross_entropy_rows",
  infer([logits, targets, weights], { count }) {
    floats("eagle_cross_entropy_rows", "logits", logits, [-1, -1]);
    floats("eagle_cross_entropy_rows", "targets", targets, logits!.shape);
    floats("eagle_cross_entropy_rows", "weights", weights, [logits!.shape[0]!]);
    if (!Number.isInteger(count) || count < 0) {
      throw new ShapeError("eagle_cross_entropy_rows", `expected a number of tokens, received ${count}`);
    }
    return [{ shape: [logits!.shape[0]!], dtype: "f32" }, logits!];
  },
  wgsl: wgslRows,
  wasm: wasmRows,
};
