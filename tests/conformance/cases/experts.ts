/** Mixtures of experts, attention sinks, the clamped gate. */
import type { DType, Shape } from "../../../core/tensor.ts";
import {
  type ExpertLinearAttrs,
  expertLinearOp,
  type ExpertPlanAttrs,
  expertPlanOp,
  MAX_EXPERTS,
  mixOp,
  type RouteAttrs,
  routeOp,
} from "../../../kernels/ops/experts/mod.ts";
import { sinksOp } from "../../../kernels/ops/sinks/mod.ts";
import { type ClampedSwigluAttrs, clampedSwigluOp } from "../../../kernels/ops/swiglu/mod.ts";
import type { AnyOpCases, OpCase, OpCases } from "../op_cases.ts";
import { exactly, inputs, integers, normal, positive, type Source } from "../random.ts";
import { clampedSwiglu, expertLinear, expertPlan, mix, route, sinks } from "../reference/experts.ts";

type None = Record<never, never>;

const ROUTED: readonly [rows: number, experts: number, count: number][] = [
  [1, 1, 1],
  [3, 6, 3],
  [17, 128, 8],
  [5, 65, 65],
  [2, 1000, 4],
  [70000, 3, 2],
  [0, 4, 2],
];

const routes: OpCases<RouteAttrs> = {
  op: routeOp,
  reference: route,
  cases: [
    ...ROUTED.flatMap(([rows, experts, count]) =>
      [false, true].map((overAll) => ({
        name: `${count} of ${experts} for ${rows} rows${overAll ? ", shares of all" : ""}`,
        inputs: inputs(normal([rows, experts], "f32", 3)),
        attrs: { count, overAll },
      }))
    ),
    {
      name: "equals, the lowest of which come first",
      inputs: inputs(exactly([2, 5], [1, 3, 3, 1, 3, -2, -2, -2, -2, -2])),
      attrs: { count: 4 },
    },
    {
      name: "logits far apart",
      inputs: inputs(exactly([1, 4], [-3e38, 90, 3e4, -100])),
      attrs: { count: 3, overAll: true },
    },
  ],
  refusals: [
    { name: "more than there are", inputs: [{ shape: [2, 3], dtype: "f32" }], attrs: { count: 4 } },
    { name: "none", inputs: [{ shape: [2, 3], dtype: "f32" }], attrs: { count: 0 } },
    { name: "integers", inputs: [{ shape: [2, 3], dtype: "i32" }], attrs: { count: 1 } },
    {
      name: "too many experts",
      inputs: [{ shape: [2, MAX_EXPERTS + 1], dtype: "f32" }],
      attrs: { count: 1 },
    },
  ],
};

const plans: OpCases<ExpertPlanAttrs> = {
  op: expertPlanOp,
  reference: expertPlan,
  cases: ([[1, 1, 1], [3, 2, 6], [100, 8, 128], [64, 1, 1], [33, 3, 2], [500, 4, 700], [0, 2, 4]] as const)
    .map((
      [rows, count, experts],
    ) => ({
      name: `${rows} rows of ${count} among ${experts}`,
      inputs: inputs(integers([rows, count], 0, experts)),
      attrs: { experts },
    })),
  refusals: [
    { name: "floats", inputs: [{ shape: [2, 3], dtype: "f32" }], attrs: { experts: 4 } },
    { name: "no experts", inputs: [{ shape: [2, 3], dtype: "i32" }], attrs: { experts: 0 } },
  ],
};

/** A plan for so many rows. */
function planned(rows: number, experts: number): Source {
  return (random) => expertPlan([integers([rows, 1], 0, experts)(random)], { experts })[0]!;
}

/** Bytes. */
function bytes(shape: Shape, low: number, high: number): Source {
  return (random) => ({ ...integers(shape, low, high)(random), dtype: "u8" });
}

const PRODUCTS: readonly [rows: number, repeat: number, experts: number, depth: number, columns: number][] = [
  [1, 1, 1, 1, 1],
  [3, 2, 6, 36, 12],
  [5, 8, 128, 64, 65],
  [70, 1, 2, 33, 129],
  [50, 3, 3, 130, 17],
  [0, 2, 3, 4, 5],
];

function product(
  [given, repeat, experts, depth, columns]: (typeof PRODUCTS)[number],
  how: { readonly dtype: DType; readonly inputFirst: boolean; readonly bias: boolean },
): OpCase<ExpertLinearAttrs> {
  const { dtype, inputFirst, bias } = how, rows = given * repeat;
  const sides = inputFirst ? [depth, columns] : [columns, depth];
  const packed = dtype === "u8";
  const weights = packed
    ? [bytes([experts, columns, depth / 32, 16], 0, 256), bytes([experts, columns, depth / 32], 120, 131)]
    : [normal([experts, ...sides], dtype)];
  return {
    name: `${rows} rows, ${experts} experts of ${sides.join(" × ")} in ${packed ? "MXFP4" : dtype}${
      inputFirst ? ", input first" : ""
    }${bias ? ", with a bias" : ""}`,
    inputs: inputs(
      normal([given, depth]),
      planned(rows, experts),
      ...weights,
      ...bias ? [normal([experts, columns])] : [],
    ),
    attrs: { repeat, inputFirst, bias },
  };
}

const PACKED: readonly (typeof PRODUCTS)[number][] = [[1, 4, 4, 32, 3], [9, 4, 5, 96, 70], [
  40,
  1,
  2,
  64,
  32,
]];

const products: OpCases<ExpertLinearAttrs> = {
  op: expertLinearOp,
  reference: expertLinear,
  cases: [
    ...PRODUCTS.flatMap((sizes) =>
      (["f32", "bf16", "f16"] as const).flatMap((dtype) =>
        [false, true].map((inputFirst) => product(sizes, { dtype, inputFirst, bias: inputFirst }))
      )
    ),
    product(PRODUCTS[1]!, { dtype: "f32", inputFirst: false, bias: true }),
    ...PACKED.map((sizes, i) => product(sizes, { dtype: "u8", inputFirst: false, bias: i > 0 })),
  ],
  refusals: [
    {
      name: "a plan of other rows",
      inputs: [{ shape: [2, 4], dtype: "f32" }, { shape: [7], dtype: "i32" }, {
        shape: [3, 5, 4],
        dtype: "f32",
      }],
      attrs: { repeat: 1 },
    },
    {
      name: "weights the other way round",
      inputs: [{ shape: [2, 4], dtype: "f32" }, { shape: [8], dtype: "i32" }, {
        shape: [3, 4, 5],
        dtype: "f32",
      }],
      attrs: { repeat: 1 },
    },
    {
      name: "blocks without scales",
      inputs: [{ shape: [2, 32], dtype: "f32" }, { shape: [8], dtype: "i32" }, {
        shape: [3, 5, 1, 16],
        dtype: "u8",
      }],
      attrs: { repeat: 1 },
    },
    {
      name: "rows of no whole blocks",
      inputs: [{ shape: [2, 33], dtype: "f32" }, { shape: [8], dtype: "i32" }, {
        shape: [3, 5, 1, 16],
        dtype: "u8",
      }, { shape: [3, 5, 1], dtype: "u8" }],
      attrs: { repeat: 1 },
    },
  ],
};

const sums: OpCases<None> = {
  op: mixOp,
  reference: mix,
  cases: ([[1, 1, 1], [3, 17, 2], [40, 64, 8], [70000, 2, 2], [0, 3, 2], [5, 6, 0]] as const).map((
    [rows, width, count],
  ) => ({
    name: `${rows} rows of ${width}, ${count} each`,
    inputs: inputs(normal([rows, width]), normal([rows * count, width]), positive([rows, count])),
    attrs: {},
  })),
  refusals: [{
    name: "rows that are too few",
    inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [3, 3], dtype: "f32" }, {
      shape: [2, 2],
      dtype: "f32",
    }],
    attrs: {},
  }],
};

const shares: OpCases<None> = {
  op: sinksOp,
  reference: sinks,
  cases: [
    ...([[1, 1, 1], [17, 6, 16], [3, 64, 64], [70000, 1, 2], [0, 2, 4]] as const).map((
      [rows, heads, dim],
    ) => ({
      name: `${rows} rows of ${heads} × ${dim}`,
      inputs: inputs(normal([rows, heads * dim]), normal([rows, heads], "f32", 3), normal([heads], "f32", 3)),
      attrs: {},
    })),
    {
      name: "sums far from their sinks",
      inputs: inputs(normal([2, 4]), exactly([2, 2], [-1e30, 300, -300, 5]), exactly([2], [0, 1])),
      attrs: {},
    },
  ],
  refusals: [
    {
      name: "a sink too many",
      inputs: [{ shape: [2, 4], dtype: "f32" }, { shape: [2, 2], dtype: "f32" }, {
        shape: [3],
        dtype: "f32",
      }],
      attrs: {},
    },
    {
      name: "heads that do not divide a row",
      inputs: [{ shape: [2, 5], dtype: "f32" }, { shape: [2, 2], dtype: "f32" }, {
        shape: [2],
        dtype: "f32",
      }],
      attrs: {},
    },
  ],
};

const gates: OpCases<ClampedSwigluAttrs> = {
  op: clampedSwigluOp,
  reference: clampedSwiglu,
  cases: ([[1, 1, 1], [3, 17, 5], [129, 64, 1], [0, 4, 1], [3, 40000, 1]] as const).map((
    [rows, width, scale],
  ) => ({
    name: `${rows} rows of ${width}, ${scale} wide`,
    inputs: inputs(normal([rows, 2 * width], "f32", scale)),
    attrs: { alpha: 1.702, limit: 7 },
  })),
  refusals: [{
    name: "half a pair",
    inputs: [{ shape: [2, 3], dtype: "f32" }],
    attrs: { alpha: 1, limit: 1 },
  }],
};

/** Cases of what mixtures of experts are made of. */
export const EXPERTS: readonly AnyOpCases[] = [routes, plans, products, sums, shares, gates];
