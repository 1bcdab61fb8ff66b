/** Sums and the argmax of rows. */
import type { Op, Run, Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { add, expand, mul } from "../elementwise/mod.ts";
import { wasmArgmax, wasmSum, wasmSumRows } from "./wasm.ts";
import { wgslArgmax, wgslSum, wgslSumRows } from "./wgsl.ts";

/** Attributes of {@linkcode sumOp}. */
export interface SumAttrs {
  /** Sum the squares instead. */
  readonly square?: boolean;
}

/** The sum of all entries, or of their squares: f32 of any shape → `[1]`. */
export const sumOp: Op<SumAttrs> = {
  name: "sum",
  infer(inputs) {
    check.dtype("sum", "x", check.input("sum", inputs, 0), ["f32"]);
    return [{ shape: [1], dtype: "f32" }];
  },
  wgsl: wgslSum,
  wasm: wasmSum,
  grad(run, { inputs, douts, attrs }) {
    const [x] = inputs as [Tensor], d = douts[0];
    if (!d) return [null];
    const spread = expand(run, d, x.shape);
    if (!attrs.square) return [spread];
    const half = mul(run, x, spread);
    return [add(run, half, half)];
  },
};

/** Column sums: f32 `[..., N]` → `[N]`. */
export const sumRowsOp: Op<Record<never, never>> = {
  name: "sum_rows",
  infer(inputs) {
    const x = check.input("sum_rows", inputs, 0);
    check.dtype("sum_rows", "x", x, ["f32"]);
    return [{ shape: [x.shape.at(-1) ?? 1], dtype: "f32" }];
  },
  wgsl: wgslSumRows,
  wasm: wasmSumRows,
};

/** Index of the largest entry of each row, the lowest one of equals: f32 `[T, V]` → i32 `[T]`. */
export const argmaxOp: Op<Record<never, never>> = {
  name: "argmax",
  infer(inputs) {
    const x = check.input("argmax", inputs, 0);
    check.dtype("argmax", "x", x, ["f32"]);
    const [rows] = check.matrix("argmax", "x", x);
    return [{ shape: [rows], dtype: "i32" }];
  },
  wgsl: wgslArgmax,
  wasm: wasmArgmax,
};

/** The sum of all entries, or of their squares, as `[1]`. */
export function sum(run: Run, x: Tensor, attrs: SumAttrs = {}): Tensor {
  return check.first(run(sumOp, [x], attrs));
}

/** Column sums. */
export function sumRows(run: Run, x: Tensor): Tensor {
  return check.first(run(sumRowsOp, [x], {}));
}

/** Index of the largest entry of each row. */
export function argmax(run: Run, x: Tensor): Tensor {
  return check.first(run(argmaxOp, [x], {}));
}
