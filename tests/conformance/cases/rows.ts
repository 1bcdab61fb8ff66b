/** Reductions, RMSNorm and rotary positions. */
import type { Shape } from "../../../core/tensor.ts";
import { argmaxOp, type SumAttrs, sumOp, sumRowsOp } from "../../../kernels/ops/reduce/mod.ts";
import { type RmsnormAttrs, rmsnormGradOp, rmsnormOp } from "../../../kernels/ops/rmsnorm/mod.ts";
import { type RopeAttrs, ropeOp } from "../../../kernels/ops/rope/mod.ts";
import type { AnyOpCases, OpCase, OpCases } from "../op_cases.ts";
import { exactly, inputs, integers, normal, positive, type Source } from "../random.ts";
import { argmax, sum, sumRows } from "../reference/reduce.ts";
import { rmsnorm, rmsnormGrad, rope } from "../reference/rows.ts";

type None = Record<never, never>;

const SHAPES: readonly Shape[] = [[1], [3], [17, 129], [2, 3, 5], [129, 3], [0], [0, 4], [70001], [1025, 66]];

const sums: OpCases<SumAttrs> = {
  op: sumOp,
  reference: sum,
  // The largest entry is the sum itself: the terms are positive, so nothing cancels.
  cases: SHAPES.flatMap((shape) =>
    [false, true].map((square) => ({
      name: `${square ? "squares of " : ""}[${shape.join(", ")}]`,
      inputs: inputs(positive(shape)),
      attrs: square ? { square } : {},
      gradient: [0],
    }))
  ),
  refusals: [
    { name: "integers", inputs: [{ shape: [3], dtype: "i32" }], attrs: {} },
    { name: "nothing", inputs: [], attrs: {} },
  ],
};

const columns: OpCases<None> = {
  op: sumRowsOp,
  reference: sumRows,
  cases: SHAPES.map((shape) => ({
    name: `[${shape.join(", ")}]`,
    inputs: inputs(positive(shape)),
    attrs: {},
  })),
  refusals: [{ name: "integers", inputs: [{ shape: [3, 2], dtype: "i32" }], attrs: {} }],
};

/** Rows whose largest entry is there several times, all of them equal in the first. */
const ties: Source = exactly([4, 130], [
  ...Array(130).fill(-2.5),
  ...Array.from({ length: 130 }, (_, i) => i % 7),
  ...Array.from({ length: 130 }, (_, i) => i >= 100 ? -1 : -1 - (i % 2)),
  ...Array.from({ length: 130 }, (_, i) => i === 129 || i === 64 ? 3e38 : -3e38),
]);

/** Whole numbers below 0, as floats. */
function wholes(shape: Shape): Source {
  return (random) => ({ ...integers(shape, -4, 0)(random), dtype: "f32" });
}

const largest: OpCases<None> = {
  op: argmaxOp,
  reference: argmax,
  cases: [
    ...([[1, 1], [3, 17], [17, 3], [129, 129], [2, 5003], [70000, 3], [0, 5]] as const).map((shape) => ({
      name: shape.join(" × "),
      inputs: inputs(normal(shape)),
      attrs: {},
    })),
    { name: "equals, the lowest of which counts", inputs: inputs(ties), attrs: {} },
    { name: "many equals", inputs: inputs(wholes([40, 777])), attrs: {} },
  ],
  refusals: [
    { name: "a row", inputs: [{ shape: [3], dtype: "f32" }], attrs: {} },
    { name: "integers", inputs: [{ shape: [3, 2], dtype: "i32" }], attrs: {} },
  ],
};

const NORMED: readonly [rows: number, groups: number, n: number][] = [
  [1, 1, 1],
  [3, 1, 17],
  [17, 1, 129],
  [129, 1, 3],
  [17, 3, 16],
  [5, 4, 33],
  [300, 2, 64],
  [2, 1, 2049],
  [70000, 1, 3],
];

const norms: OpCases<RmsnormAttrs> = {
  op: rmsnormOp,
  reference: rmsnorm,
  tolerance: { entry: 2e-6 },
  cases: [
    ...NORMED.map(([rows, groups, n]): OpCase<RmsnormAttrs> => ({
      name: `${rows} rows of ${groups} × ${n}`,
      inputs: inputs(normal([rows, groups * n]), normal([n])),
      attrs: { eps: 1e-5 },
      gradient: [0, 1],
    })),
    {
      name: "entries of which only eps keeps the root from 0",
      inputs: inputs(normal([3, 17], "f32", 1e-4), normal([17])),
      attrs: { eps: 1e-6 },
      // Differences of so steep a function are no measure: the gradient op has this case.
    },
    { name: "zeros", inputs: inputs(exactly([1, 3], [0, 0, 0]), normal([3])), attrs: { eps: 1e-6 } },
    { name: "no rows", inputs: inputs(normal([0, 6]), normal([3])), attrs: { eps: 1e-6 }, gradient: [0, 1] },
    { name: "no columns", inputs: inputs(normal([3, 0]), normal([0])), attrs: { eps: 1e-6 } },
  ],
  refusals: [
    {
      name: "rows that are no multiple",
      inputs: [{ shape: [2, 5], dtype: "f32" }, { shape: [3], dtype: "f32" }],
      attrs: { eps: 1e-6 },
    },
    {
      name: "a row",
      inputs: [{ shape: [3], dtype: "f32" }, { shape: [3], dtype: "f32" }],
      attrs: { eps: 1e-6 },
    },
    {
      name: "a weight in bf16",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [3], dtype: "bf16" }],
      attrs: { eps: 1e-6 },
    },
    { name: "no weight", inputs: [{ shape: [2, 3], dtype: "f32" }], attrs: { eps: 1e-6 } },
  ],
};

const normGrads: OpCases<RmsnormAttrs> = {
  op: rmsnormGradOp,
  reference: rmsnormGrad,
  tolerance: { largest: 3e-6 },
  cases: [
    ...NORMED.map(([rows, groups, n]): OpCase<RmsnormAttrs> => ({
      name: `${rows} rows of ${groups} × ${n}`,
      inputs: inputs(normal([rows, groups * n]), normal([n]), normal([rows, groups * n])),
      attrs: { eps: 1e-5 },
      // Of one entry, all but a share of eps of two terms about 1 cancels.
      ...(n === 1 ? { tolerance: { absolute: 3e-7 } } : {}),
    })),
    {
      name: "entries of which only eps keeps the root from 0",
      inputs: inputs(normal([3, 17], "f32", 1e-4), normal([17]), normal([3, 17])),
      attrs: { eps: 1e-6 },
    },
    { name: "no rows", inputs: inputs(normal([0, 6]), normal([3]), normal([0, 6])), attrs: { eps: 1e-6 } },
    { name: "no columns", inputs: inputs(normal([3, 0]), normal([0]), normal([3, 0])), attrs: { eps: 1e-6 } },
  ],
  refusals: [
    {
      name: "an output gradient of another shape",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [3], dtype: "f32" }, {
        shape: [3, 2],
        dtype: "f32",
      }],
      attrs: { eps: 1e-6 },
    },
  ],
};

function turned(rows: number, heads: number, headDim: number): OpCase<RopeAttrs>[] {
  const half = headDim / 2;
  return [false, true].map((inverse) => ({
    name: `${rows} rows of ${heads} × ${headDim}${inverse ? ", backwards" : ""}`,
    inputs: inputs(
      normal([rows, heads * headDim]),
      normal([40, half]),
      normal([40, half]),
      integers([rows], 0, 40),
    ),
    attrs: inverse ? { headDim, inverse } : { headDim },
    gradient: [0],
  }));
}

const rotations: OpCases<RopeAttrs> = {
  op: ropeOp,
  reference: rope,
  tolerance: { entry: 1e-6, largest: 2e-7 },
  cases: [
    ...turned(1, 1, 2),
    ...turned(3, 17, 2),
    ...turned(17, 3, 10),
    ...turned(129, 4, 64),
    ...turned(5, 1, 258),
    ...turned(70000, 1, 2),
    ...turned(0, 2, 4),
  ],
  refusals: [
    {
      name: "an odd head",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [4, 1], dtype: "f32" }, {
        shape: [4, 1],
        dtype: "f32",
      }, { shape: [2], dtype: "i32" }],
      attrs: { headDim: 3 },
    },
    {
      name: "tables of another width",
      inputs: [{ shape: [2, 4], dtype: "f32" }, { shape: [4, 4], dtype: "f32" }, {
        shape: [4, 4],
        dtype: "f32",
      }, { shape: [2], dtype: "i32" }],
      attrs: { headDim: 4 },
    },
    {
      name: "a position too few",
      inputs: [{ shape: [2, 4], dtype: "f32" }, { shape: [4, 2], dtype: "f32" }, {
        shape: [4, 2],
        dtype: "f32",
      }, { shape: [1], dtype: "i32" }],
      attrs: { headDim: 4 },
    },
  ],
};

/** Cases of what works row by row. */
export const ROWS: readonly AnyOpCases[] = [sums, columns, largest, norms, normGrads, rotations];
