/** Rows by number, also by numbers that no row has. */
import type { DType, Shape } from "../../../core/tensor.ts";
import { gatherOp, type ScatterAddAttrs, scatterAddOp } from "../../../kernels/ops/gather/mod.ts";
import type { AnyOpCases, OpCase, OpCases } from "../op_cases.ts";
import { exactly, inputs, integers, normal } from "../random.ts";
import { gather, scatterAdd } from "../reference/gather.ts";

type None = Record<never, never>;

function looked(table: Shape, dtype: DType, count: number): OpCase<None>[] {
  const rows = table[0]!;
  const source = dtype === "i32" ? integers(table, -1000000, 1000000) : normal(table, dtype);
  const gradient = dtype === "i32" || table.length === 1 ? {} : { gradient: [0] };
  return [{
    name: `${count} of [${table.join(", ")}] in ${dtype}`,
    inputs: inputs(source, integers([count], 0, rows)),
    attrs: {},
    ...gradient,
  }, {
    name: `${count} of [${table.join(", ")}] in ${dtype}, some outside`,
    inputs: inputs(source, integers([count], -2, rows + 2)),
    attrs: {},
    ...gradient,
  }];
}

const TABLES: readonly [Shape, number][] = [
  [[1, 1], 1],
  [[17, 3], 129],
  [[129, 17], 3],
  [[5, 129], 17],
  [[33, 64], 40],
  [[17], 129],
  [[129], 1],
];

const lookups: OpCases<None> = {
  op: gatherOp,
  reference: gather,
  tolerance: {},
  cases: [
    ...(["f32", "bf16", "f16", "i32"] as const).flatMap((dtype) =>
      TABLES.flatMap(([table, count]) => looked(table, dtype, count))
    ),
    ...(["q8_0", "q4_0", "q4_1"] as const).map((dtype) => ({
      name: `9 of [7, 96] in ${dtype}, some outside`,
      inputs: inputs(normal([7, 96], dtype), integers([9], -2, 9)),
      attrs: {},
      tolerance: { entry: 2e-7 },
    })),
    {
      name: "ids at the ends of 32 bits",
      inputs: inputs(normal([3, 2]), exactly([4], [2 ** 31 - 1, -(2 ** 31), -1, 2], "i32")),
      attrs: {},
      gradient: [0],
    },
    { name: "70000 ids", inputs: inputs(normal([7, 3]), integers([70000], -1, 8)), attrs: {} },
    {
      name: "no ids",
      inputs: inputs(normal([3, 2]), integers([0], 0, 3)),
      attrs: {},
      gradient: [0],
    },
    { name: "no rows", inputs: inputs(normal([0, 2]), integers([3], 0, 3)), attrs: {} },
    { name: "no columns", inputs: inputs(normal([3, 0]), integers([4], 0, 3)), attrs: {} },
  ],
  refusals: [
    {
      name: "ids that are no integers",
      inputs: [{ shape: [3, 2], dtype: "f32" }, { shape: [4], dtype: "f32" }],
      attrs: {},
    },
    {
      name: "a matrix of ids",
      inputs: [{ shape: [3, 2], dtype: "f32" }, { shape: [4, 1], dtype: "i32" }],
      attrs: {},
    },
    {
      name: "a table of three axes",
      inputs: [{ shape: [3, 2, 2], dtype: "f32" }, { shape: [4], dtype: "i32" }],
      attrs: {},
    },
    {
      name: "rows that are no whole blocks",
      inputs: [{ shape: [3, 16], dtype: "q4_1" }, { shape: [4], dtype: "i32" }],
      attrs: {},
    },
    { name: "bytes", inputs: [{ shape: [3], dtype: "u8" }, { shape: [4], dtype: "i32" }], attrs: {} },
  ],
};

function added([count, width]: readonly [number, number], rows: number): OpCase<ScatterAddAttrs> {
  return {
    name: `${count} of ${width} into ${rows}`,
    inputs: inputs(normal([count, width]), integers([count], -1, rows + 1)),
    attrs: { rows },
    gradient: [0],
  };
}

const sums: OpCases<ScatterAddAttrs> = {
  op: scatterAddOp,
  reference: scatterAdd,
  cases: [
    added([1, 1], 1),
    added([129, 17], 3),
    added([17, 129], 129),
    added([3, 64], 1000),
    added([300, 5], 1),
    { ...added([70000, 3], 2), tolerance: { largest: 2e-5 } },
    added([3, 2], 70000),
    added([0, 5], 3),
    added([5, 0], 3),
    {
      name: "all into no rows",
      inputs: inputs(normal([3, 2]), integers([3], 0, 5)),
      attrs: { rows: 0 },
    },
    {
      name: "all into the last row",
      inputs: inputs(normal([40, 33]), integers([40], 16, 17)),
      attrs: { rows: 17 },
      gradient: [0],
    },
  ],
  refusals: [
    {
      name: "fewer ids than rows",
      inputs: [{ shape: [3, 2], dtype: "f32" }, { shape: [2], dtype: "i32" }],
      attrs: { rows: 4 },
    },
    {
      name: "a row",
      inputs: [{ shape: [3], dtype: "f32" }, { shape: [3], dtype: "i32" }],
      attrs: { rows: 4 },
    },
    {
      name: "integers",
      inputs: [{ shape: [3, 2], dtype: "i32" }, { shape: [3], dtype: "i32" }],
      attrs: { rows: 4 },
    },
  ],
};

/** Cases of the lookups. */
export const GATHER: readonly AnyOpCases[] = [lookups, sums];
