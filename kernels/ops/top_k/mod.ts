/** The most likely entries of each row. */
import { ShapeError } from "../../../core/errors.ts";
import type { Op, Run, Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasm } from "./wasm.ts";
import { wgsl } from "./wgsl.ts";

/** Most entries that can be asked for. */
export const MOST_TOP = 64;

/** Attributes of {@linkcode topKOp}. */
export interface TopKAttrs {
  /** How many entries of each row. */
  readonly count: number;
}

/**
 * The `count` largest entries of each row, largest first and the lower place first of equals: f32 `[T, V]` → logarithms of
 * their softmax over the whole row f32 `[T, count]`, places i32 `[T, count]`. Without a gradient.
 */
export const topKOp: Op<TopKAttrs> = {
  name: "top_k",
  infer(inputs, { count }) {
    const x = check.input("top_k", inputs, 0);
    check.dtype("top_k", "x", x, ["f32"]);
    const [rows, width] = check.matrix("top_k", "x", x);
    if (!Number.isInteger(count) || count < 1 || count > Math.min(width, MOST_TOP)) {
      throw new ShapeError(
        "top_k",
        `expected a count from 1 to ${Math.min(width, MOST_TOP)}, received ${count}`,
      );
    }
    return [{ shape: [rows, count], dtype: "f32" }, { shape: [rows, count], dtype: "i32" }];
  },
  wgsl,
  wasm,
};

/** The most likely entries of each row and the logarithms of their probabilities, see {@linkcode topKOp}. */
export function topK(
  run: Run,
  x: Tensor,
  count: number,
): { readonly logprobs: Tensor; readonly places: Tensor } {
  const [logprobs, places] = run(topKOp, [x], { count });
  return { logprobs: logprobs!, places: places! };
}
