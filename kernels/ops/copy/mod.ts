/** Joining, cutting and writing rows; these move f32 and i32 alike. */
import { ShapeError } from "../../../core/errors.ts";
import { describe, type DType, type Op, type Run, type Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasmConcat, wasmSlice, wasmUnslice, wasmWriteRows } from "./wasm.ts";
import { wgslConcat, wgslSlice, wgslUnslice, wgslWriteRows } from "./wgsl.ts";

/** Dtypes that the copying ops move: elements of four bytes. */
export const COPY_DTYPES: readonly DType[] = ["f32", "i32"];

/** Which axis of a row (`[N]`) or a matrix. */
export interface AxisAttrs {
  /** 0 or 1. */
  readonly axis: number;
}

/** Part of an axis. */
export interface SliceAttrs extends AxisAttrs {
  /** First index taken. */
  readonly start: number;
  /** One past the last. */
  readonly end: number;
}

/** Where a part lies in a longer axis. */
export interface UnsliceAttrs extends AxisAttrs {
  /** First index written. */
  readonly start: number;
  /** Length of the whole axis. */
  readonly length: number;
}

function checkAxis(op: string, spec: { shape: readonly number[] }, axis: number): void {
  if (axis < 0 || axis >= spec.shape.length || spec.shape.length > 2) {
    throw new ShapeError(
      op,
      `expected an axis of a row or a matrix, received axis ${axis} of ${spec.shape.length}`,
    );
  }
}

/** Any number of tensors joined along an axis. */
export const concatOp: Op<AxisAttrs> = {
  name: "concat",
  infer(inputs, { axis }) {
    const one = check.input("concat", inputs, 0);
    checkAxis("concat", one, axis);
    let length = 0;
    inputs.forEach((spec, i) => {
      check.dtype("concat", `input ${i}`, spec, COPY_DTYPES.filter((dtype) => dtype === one.dtype));
      check.shape("concat", `input ${i}`, spec, one.shape.map((size, a) => a === axis ? -1 : size));
      length += spec.shape[axis]!;
    });
    return [{ shape: one.shape.map((size, a) => a === axis ? length : size), dtype: one.dtype }];
  },
  wgsl: wgslConcat,
  wasm: wasmConcat,
  grad(run, { inputs, douts, attrs: { axis }, needs }) {
    let start = 0;
    return inputs.map((spec, i) => {
      const end = start + spec.shape[axis]!;
      const part = douts[0] && needs[i] ? slice(run, douts[0], { axis, start, end }) : null;
      start = end;
      return part;
    });
  },
};

/** The entries `start … end − 1` along an axis. */
export const sliceOp: Op<SliceAttrs> = {
  name: "slice",
  infer(inputs, { axis, start, end }) {
    const x = check.input("slice", inputs, 0);
    check.dtype("slice", "x", x, COPY_DTYPES);
    checkAxis("slice", x, axis);
    if (start < 0 || end < start || end > x.shape[axis]!) {
      throw new ShapeError(
        "slice",
        `expected a part of axis ${axis}, received ${start} to ${end} of ${describe(x)}`,
      );
    }
    return [{ shape: x.shape.map((size, a) => a === axis ? end - start : size), dtype: x.dtype }];
  },
  wgsl: wgslSlice,
  wasm: wasmSlice,
  grad(run, { inputs, douts, attrs: { axis, start } }) {
    if (!douts[0]) return [null];
    return [check.first(run(unsliceOp, [douts[0]], { axis, start, length: inputs[0]!.shape[axis]! }))];
  },
};

/** Zeros with `x` in them from `start` on: the gradient of a slice. */
export const unsliceOp: Op<UnsliceAttrs> = {
  name: "unslice",
  infer(inputs, { axis, start, length }) {
    const x = check.input("unslice", inputs, 0);
    check.dtype("unslice", "x", x, COPY_DTYPES);
    checkAxis("unslice", x, axis);
    if (start < 0 || start + x.shape[axis]! > length) {
      throw new ShapeError(
        "unslice",
        `expected room in an axis of ${length}, received ${describe(x)} at ${start}`,
      );
    }
    return [{ shape: x.shape.map((size, a) => a === axis ? length : size), dtype: x.dtype }];
  },
  wgsl: wgslUnslice,
  wasm: wasmUnslice,
  grad(run, { inputs, douts, attrs: { axis, start } }) {
    return [douts[0] ? slice(run, douts[0], { axis, start, end: start + inputs[0]!.shape[axis]! }) : null];
  },
};

/** Attributes of {@linkcode writeRowsOp}. */
export interface WriteRowsAttrs {
  /** First row written. */
  readonly at: number;
}

/** Writes src `[T, H]` over rows `at …` of dst `[C, H]`, in place: a key-value cache takes its new rows. */
export const writeRowsOp: Op<WriteRowsAttrs> = {
  name: "write_rows",
  alias: { 0: 0 },
  infer(inputs, { at }) {
    const dst = check.input("write_rows", inputs, 0), src = check.input("write_rows", inputs, 1);
    check.dtype("write_rows", "dst", dst, COPY_DTYPES);
    check.dtype("write_rows", "src", src, [dst.dtype]);
    const [capacity, width] = check.matrix("write_rows", "dst", dst);
    check.shape("write_rows", "src", src, [-1, width]);
    if (at < 0 || at + src.shape[0]! > capacity) {
      throw new ShapeError(
        "write_rows",
        `expected room in ${describe(dst)}, received ${describe(src)} at row ${at}`,
      );
    }
    return [dst];
  },
  wgsl: wgslWriteRows,
  wasm: wasmWriteRows,
};

/** Joins tensors along an axis. */
export function concat(run: Run, inputs: readonly Tensor[], axis: number): Tensor {
  return check.first(run(concatOp, inputs, { axis }));
}

/** Cuts a part out of an axis. */
export function slice(run: Run, x: Tensor, attrs: SliceAttrs): Tensor {
  return check.first(run(sliceOp, [x], attrs));
}

/** Writes rows into `dst` in place; gives `dst`. */
export function writeRows(run: Run, dst: Tensor, src: Tensor, at: number): Tensor {
  return check.first(run(writeRowsOp, [dst, src], { at }));
}
