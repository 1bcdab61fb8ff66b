/** Rows of a table by number (embeddings, vocabulary maps), and the way back. */
import type { Op, Run, Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasmGather, wasmScatterAdd } from "./wasm.ts";
import { wgslGather, wgslScatterAdd } from "./wgsl.ts";

/**
 * `table[ids]`: table `[V, H]` or `[V]` (f32, bf16, f16, blocks → f32; i32 → i32), ids i32 `[T]` → `[T, H]` or `[T]`.
 * An id outside the table gives zeros.
 */
export const gatherOp: Op<Record<never, never>> = {
  name: "gather",
  infer(inputs) {
    const table = check.input("gather", inputs, 0), ids = check.input("gather", inputs, 1);
    check.dtype("gather", "table", table, [...check.MATRIX_DTYPES, "i32"]);
    check.blocks("gather", "table", table);
    check.dtype("gather", "ids", ids, ["i32"]);
    check.shape("gather", "ids", ids, [-1]);
    check.shape("gather", "table", table, table.shape.length === 1 ? [-1] : [-1, -1]);
    return [{
      shape: [ids.shape[0]!, ...table.shape.slice(1)],
      dtype: table.dtype === "i32" ? "i32" : "f32",
    }];
  },
  wgsl: wgslGather,
  wasm: wasmGather,
  grad(run, { inputs, douts, needs }) {
    const [table, ids] = inputs as [Tensor, Tensor];
    if (needs[0]) check.trainable("gather", "table", table);
    return [douts[0] && needs[0] ? scatterAdd(run, douts[0], ids, table.shape[0]!) : null, null];
  },
};

/** Attributes of {@linkcode scatterAddOp}. */
export interface ScatterAddAttrs {
  /** Rows of the output. */
  readonly rows: number;
}

/** Zeros `[rows, H]` with row t of `x` f32 `[T, H]` added to row `ids[t]`; ids outside are left out. */
export const scatterAddOp: Op<ScatterAddAttrs> = {
  name: "scatter_add",
  infer(inputs, { rows }) {
    const x = check.input("scatter_add", inputs, 0), ids = check.input("scatter_add", inputs, 1);
    check.dtype("scatter_add", "x", x, ["f32"]);
    const [t, h] = check.matrix("scatter_add", "x", x);
    check.dtype("scatter_add", "ids", ids, ["i32"]);
    check.shape("scatter_add", "ids", ids, [t]);
    return [{ shape: [rows, h], dtype: "f32" }];
  },
  wgsl: wgslScatterAdd,
  wasm: wasmScatterAdd,
  grad(run, { inputs, douts }) {
    return [douts[0] ? gather(run, douts[0], inputs[1]!) : null, null];
  },
};

/** `table[ids]`. */
export function gather(run: Run, table: Tensor, ids: Tensor): Tensor {
  return check.first(run(gatherOp, [table, ids], {}));
}

/** The rows of `x` added up by `ids`. */
export function scatterAdd(run: Run, x: Tensor, ids: Tensor, rows: number): Tensor {
  return check.first(run(scatterAddOp, [x, ids], { rows }));
}
