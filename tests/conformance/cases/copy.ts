/** Joining, cutting, writing rows; f32 and i32. */
import type { DType, Shape } from "../../../core/tensor.ts";
import {
  type AxisAttrs,
  concatOp,
  type SliceAttrs,
  sliceOp,
  type UnsliceAttrs,
  unsliceOp,
  type WriteRowsAttrs,
  writeRowsOp,
} from "../../../kernels/ops/copy/mod.ts";
import type { AnyOpCases, OpCase, OpCases } from "../op_cases.ts";
import { inputs, integers, normal, type Source } from "../random.ts";
import { concat, slice, unslice, writeRows } from "../reference/copy.ts";

function entries(shape: Shape, dtype: DType): Source {
  return dtype === "i32" ? integers(shape, -(2 ** 31), 2 ** 31) : normal(shape, dtype);
}

/** A case in f32, with gradients, and one in i32. */
function both<A extends object>(name: string, shapes: readonly Shape[], attrs: A): OpCase<A>[] {
  return (["f32", "i32"] as const).map((dtype) => ({
    name: `${name} in ${dtype}`,
    inputs: inputs(...shapes.map((shape) => entries(shape, dtype))),
    attrs,
    ...(dtype === "f32" ? { gradient: shapes.map((_, i) => i) } : {}),
  }));
}

const many = Array.from({ length: 13 }, (_, i): Shape => [i % 4, 5]);

const joins: OpCases<AxisAttrs> = {
  op: concatOp,
  reference: concat,
  tolerance: {},
  cases: [
    ...both<AxisAttrs>("one row", [[3]], { axis: 0 }),
    ...both<AxisAttrs>("rows", [[3], [1], [17]], { axis: 0 }),
    ...both<AxisAttrs>("rows of matrices", [[3, 17], [1, 17], [129, 17]], { axis: 0 }),
    ...both<AxisAttrs>("columns of matrices", [[17, 3], [17, 1], [17, 129]], { axis: 1 }),
    ...both<AxisAttrs>("13 matrices, some empty", many, { axis: 0 }),
    ...both<AxisAttrs>("9 columns", Array(9).fill([5, 1]), { axis: 1 }),
    ...both<AxisAttrs>("70000 rows", [[70000, 1], [2, 1]], { axis: 0 }),
    ...both<AxisAttrs>("empty parts", [[0, 5], [2, 5], [0, 5]], { axis: 0 }),
    ...both<AxisAttrs>("empty columns", [[2, 0], [2, 3]], { axis: 1 }),
    ...both<AxisAttrs>("nothing", [[0], [0]], { axis: 0 }),
    {
      name: "a tensor twice",
      inputs: inputs(normal([3, 5]), normal([3, 5])),
      attrs: { axis: 1 },
      gradient: [0],
      repeats: { 1: 0 },
    },
  ],
  refusals: [
    { name: "no inputs", inputs: [], attrs: { axis: 0 } },
    {
      name: "other columns",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [2, 4], dtype: "f32" }],
      attrs: { axis: 0 },
    },
    {
      name: "mixed dtypes",
      inputs: [{ shape: [2], dtype: "f32" }, { shape: [2], dtype: "i32" }],
      attrs: { axis: 0 },
    },
    { name: "a third axis", inputs: [{ shape: [2, 3], dtype: "f32" }], attrs: { axis: 2 } },
    { name: "bf16", inputs: [{ shape: [2, 3], dtype: "bf16" }], attrs: { axis: 0 } },
  ],
};

const cuts: OpCases<SliceAttrs> = {
  op: sliceOp,
  reference: slice,
  tolerance: {},
  cases: [
    ...both<SliceAttrs>("the middle of a row", [[129]], { axis: 0, start: 17, end: 18 }),
    ...both<SliceAttrs>("a whole row", [[3]], { axis: 0, start: 0, end: 3 }),
    ...both<SliceAttrs>("rows", [[17, 129]], { axis: 0, start: 1, end: 17 }),
    ...both<SliceAttrs>("columns", [[17, 129]], { axis: 1, start: 3, end: 128 }),
    ...both<SliceAttrs>("the last column", [[17, 129]], { axis: 1, start: 128, end: 129 }),
    ...both<SliceAttrs>("a column of 70000 rows", [[70000, 3]], { axis: 1, start: 1, end: 2 }),
    ...both<SliceAttrs>("no rows", [[17, 3]], { axis: 0, start: 5, end: 5 }),
    ...both<SliceAttrs>("no columns", [[17, 3]], { axis: 1, start: 3, end: 3 }),
    ...both<SliceAttrs>("nothing", [[0, 3]], { axis: 0, start: 0, end: 0 }),
  ],
  refusals: [
    { name: "past the end", inputs: [{ shape: [3], dtype: "f32" }], attrs: { axis: 0, start: 1, end: 4 } },
    { name: "backwards", inputs: [{ shape: [3], dtype: "f32" }], attrs: { axis: 0, start: 2, end: 1 } },
    {
      name: "before the start",
      inputs: [{ shape: [3], dtype: "f32" }],
      attrs: { axis: 0, start: -1, end: 1 },
    },
    { name: "a second axis", inputs: [{ shape: [3], dtype: "f32" }], attrs: { axis: 1, start: 0, end: 1 } },
    {
      name: "three axes",
      inputs: [{ shape: [3, 1, 1], dtype: "f32" }],
      attrs: { axis: 0, start: 0, end: 1 },
    },
  ],
};

const paddings: OpCases<UnsliceAttrs> = {
  op: unsliceOp,
  reference: unslice,
  tolerance: {},
  cases: [
    ...both<UnsliceAttrs>("a row", [[3]], { axis: 0, start: 17, length: 129 }),
    ...both<UnsliceAttrs>("rows", [[3, 17]], { axis: 0, start: 1, length: 5 }),
    ...both<UnsliceAttrs>("columns", [[17, 3]], { axis: 1, start: 126, length: 129 }),
    ...both<UnsliceAttrs>("all of it", [[3, 17]], { axis: 1, start: 0, length: 17 }),
    ...both<UnsliceAttrs>("nothing in zeros", [[0, 17]], { axis: 0, start: 2, length: 3 }),
    ...both<UnsliceAttrs>("no columns in zeros", [[17, 0]], { axis: 1, start: 0, length: 3 }),
    ...both<UnsliceAttrs>("nothing in nothing", [[0]], { axis: 0, start: 0, length: 0 }),
  ],
  refusals: [
    { name: "no room", inputs: [{ shape: [3], dtype: "f32" }], attrs: { axis: 0, start: 2, length: 4 } },
    {
      name: "before the start",
      inputs: [{ shape: [3], dtype: "f32" }],
      attrs: { axis: 0, start: -1, length: 4 },
    },
  ],
};

function written(name: string, [dst, src]: readonly [Shape, Shape], at: number): OpCase<WriteRowsAttrs>[] {
  return both<WriteRowsAttrs>(name, [dst, src], { at }).map(({ name, inputs, attrs }) => ({
    name,
    inputs,
    attrs,
  }));
}

const writes: OpCases<WriteRowsAttrs> = {
  op: writeRowsOp,
  reference: writeRows,
  tolerance: {},
  cases: [
    ...written("one row", [[3, 17], [1, 17]], 1),
    ...written("the last rows", [[129, 3], [17, 3]], 112),
    ...written("all rows", [[17, 129], [17, 129]], 0),
    ...written("no rows", [[3, 17], [0, 17]], 3),
    ...written("nothing into nothing", [[0, 17], [0, 17]], 0),
    ...written("rows of nothing", [[3, 0], [2, 0]], 1),
  ],
  refusals: [
    {
      name: "past the end",
      inputs: [{ shape: [3, 2], dtype: "f32" }, { shape: [2, 2], dtype: "f32" }],
      attrs: { at: 2 },
    },
    {
      name: "before the start",
      inputs: [{ shape: [3, 2], dtype: "f32" }, { shape: [2, 2], dtype: "f32" }],
      attrs: { at: -1 },
    },
    {
      name: "another width",
      inputs: [{ shape: [3, 2], dtype: "f32" }, { shape: [2, 3], dtype: "f32" }],
      attrs: { at: 0 },
    },
    {
      name: "another dtype",
      inputs: [{ shape: [3, 2], dtype: "f32" }, { shape: [2, 2], dtype: "i32" }],
      attrs: { at: 0 },
    },
  ],
};

/** Cases of the copies. */
export const COPY: readonly AnyOpCases[] = [joins, cuts, paddings, writes];
