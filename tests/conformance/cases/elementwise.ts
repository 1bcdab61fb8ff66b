/** Sums, products, casts and the gate. */
import type { DType, Shape } from "../../../core/tensor.ts";
import {
  type AddAttrs,
  addOp,
  type CastAttrs,
  castOp,
  type ExpandAttrs,
  expandOp,
  mulOp,
} from "../../../kernels/ops/elementwise/mod.ts";
import { swigluGradOp, swigluOp } from "../../../kernels/ops/swiglu/mod.ts";
import type { AnyOpCases, OpCase, OpCases, Refusal } from "../op_cases.ts";
import { exactly, inputs, normal, type Source } from "../random.ts";
import { array } from "../reference/array.ts";
import { add, cast, expand, mul, swiglu, swigluGrad } from "../reference/elementwise.ts";

type None = Record<never, never>;

const PAIRS: readonly [string, Shape, Shape][] = [
  ["one number each", [1], [1]],
  ["rows of 3", [3], [3]],
  ["matrices of 17 × 129", [17, 129], [17, 129]],
  ["three axes", [2, 3, 5], [2, 3, 5]],
  ["a row for 17 rows", [17, 129], [129]],
  ["a row for three axes", [2, 3, 5], [5]],
  ["one number for a matrix", [17, 3], [1]],
  ["one number for 1025", [1025], [1]],
  ["one number for a column", [17, 1], [1]],
  ["nothing", [0], [0]],
  ["no rows", [0, 17], [0, 17]],
  ["a row for no rows", [0, 17], [17]],
  ["one number for no rows", [0, 17], [1]],
  ["70000 entries", [70000], [70000]],
];

const MISFITS: readonly Refusal<None>[] = [
  {
    name: "shapes that differ",
    inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [3, 2], dtype: "f32" }],
    attrs: {},
  },
  {
    name: "a row too short",
    inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [2], dtype: "f32" }],
    attrs: {},
  },
  { name: "a larger b", inputs: [{ shape: [3], dtype: "f32" }, { shape: [2, 3], dtype: "f32" }], attrs: {} },
  { name: "integers", inputs: [{ shape: [3], dtype: "i32" }, { shape: [3], dtype: "i32" }], attrs: {} },
  { name: "bf16", inputs: [{ shape: [3], dtype: "f32" }, { shape: [3], dtype: "bf16" }], attrs: {} },
  { name: "one input", inputs: [{ shape: [3], dtype: "f32" }], attrs: {} },
];

/** More entries than workgroups of 64 fit along one axis of a dispatch. */
const LONG = 65536 * 64 + 5;

function pairs<A extends object>(attrs: A): OpCase<A>[] {
  return [
    ...PAIRS.map(([name, a, b]) => ({
      name,
      inputs: inputs(normal(a), normal(b)),
      attrs,
      gradient: [0, 1],
    })),
    { name: `${LONG} entries`, inputs: inputs(ramp([LONG]), ramp([1])), attrs },
  ];
}

const itself = { inputs: inputs(normal([33]), normal([33])), gradient: [0], repeats: { 1: 0 } };

/** Numbers that cost little to draw. */
function ramp(shape: Shape): Source {
  return () => {
    const size = shape.reduce((a, b) => a * b, 1);
    return array(shape, Float64Array.from({ length: size }, (_, i) => (i % 4093) / 64 - 30));
  };
}

const ENTRY = { entry: 3e-7, largest: 1e-7 };

const sums: OpCases<AddAttrs> = {
  op: addOp,
  reference: add,
  tolerance: ENTRY,
  cases: [
    ...pairs<AddAttrs>({}),
    ...pairs<AddAttrs>({ alpha: -0.75 }).map((one) => ({ ...one, name: `${one.name} times a factor` })),
    {
      name: "a factor of 0",
      inputs: inputs(normal([17]), normal([17])),
      attrs: { alpha: 0 },
      gradient: [0, 1],
    },
    { ...itself, name: "a tensor and itself", attrs: {} },
  ],
  refusals: MISFITS,
};

const products: OpCases<None> = {
  op: mulOp,
  reference: mul,
  tolerance: ENTRY,
  cases: [...pairs<None>({}), { ...itself, name: "a tensor by itself", attrs: {} }],
  refusals: MISFITS,
};

const spread: OpCases<ExpandAttrs> = {
  op: expandOp,
  reference: expand,
  tolerance: {},
  cases: ([[1], [3], [17, 129], [2, 3, 5], [0], [0, 4], [], [LONG]] as const).map((shape) => ({
    name: `to [${shape.join(", ")}]`,
    inputs: inputs(normal([1])),
    attrs: { shape },
    ...(shape[0] === LONG ? {} : { gradient: [0] }),
  })),
  refusals: [
    { name: "more than one number", inputs: [{ shape: [2], dtype: "f32" }], attrs: { shape: [2] } },
    { name: "an integer", inputs: [{ shape: [1], dtype: "i32" }], attrs: { shape: [2] } },
  ],
};

/** Ties, carries into the exponent, the largest and smallest of each 16-bit format. */
const EDGES = [
  ...[0, -0, 1, -1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 1 - 2 ** -9, 2 - 2 ** -8],
  ...[1 + 2 ** -11, 1 + 3 * 2 ** -11, 1 + 2 ** -11 + 2 ** -20, 2 - 2 ** -11, 65504, -65504, 65519],
  ...[2 ** -14, 2 ** -24, 3 * 2 ** -24, -(2 ** -20) * 1.3, 2 ** -26, 3.0e4, 1 / 3, -1e-3, 12345.678],
];

const LARGE = [1e30, -3e38, 1e-30, 2 ** 127, 2 ** -120];

function casts(from: DType, to: DType): OpCase<CastAttrs>[] {
  const more = from === "f16" || to === "f16" ? [] : LARGE;
  const edges = [...EDGES, ...more].filter((x) => from !== "f16" || Math.abs(x) <= 65504);
  const sources = [
    ["1", normal([1], from)],
    ["3 × 17", normal([3, 17], from)],
    ["129", normal([129], from, 100)],
    ["5 × 1000", normal([5, 1000], from)],
    ["nothing", normal([0, 3], from)],
    ["edges", exactly([edges.length], edges, from)],
  ] as const;
  return sources.map(([name, source]) => ({
    name: `${name} from ${from} to ${to}`,
    inputs: inputs(source),
    attrs: { dtype: to },
    ...(from === "f32" && to === "f32" && name !== "edges" ? { gradient: [0] } : {}),
  }));
}

const FLOATS: readonly DType[] = ["f32", "bf16", "f16"];

const dtypes: OpCases<CastAttrs> = {
  op: castOp,
  reference: cast,
  tolerance: {},
  cases: [
    ...FLOATS.flatMap((from) => FLOATS.flatMap((to) => casts(from, to))),
    { name: `${LONG} from f32 to bf16`, inputs: inputs(ramp([LONG])), attrs: { dtype: "bf16" } },
    ...(["bf16", "f16"] as const).map((from) => ({
      name: `17 from ${from} to f32, with a gradient in f32`,
      inputs: inputs(normal([17], from)),
      attrs: { dtype: "f32" as const },
      gradient: [0],
    })),
  ],
  refusals: [
    { name: "an integer", inputs: [{ shape: [2], dtype: "i32" }], attrs: { dtype: "f32" } },
    { name: "to an integer", inputs: [{ shape: [2], dtype: "f32" }], attrs: { dtype: "i32" } },
  ],
};

const SHAPES: readonly Shape[] = [[1], [3], [17, 129], [2, 3, 5], [0], [0, 4], [70000]];

const gate: OpCases<None> = {
  op: swigluOp,
  reference: swiglu,
  tolerance: { entry: 4e-6, largest: 2e-7 },
  cases: [
    ...SHAPES.map((shape) => ({
      name: `[${shape.join(", ")}]`,
      inputs: inputs(normal(shape, "f32", 3), normal(shape)),
      attrs: {},
      gradient: [0, 1],
    })),
    {
      name: "gates far from 0",
      inputs: inputs(exactly([6], [-200, -90, -30, 30, 90, 200]), normal([6])),
      attrs: {},
      gradient: [0, 1],
    },
    { ...itself, name: "a gate that is its own factor", attrs: {} },
  ],
  refusals: [
    {
      name: "shapes that differ",
      inputs: [{ shape: [3], dtype: "f32" }, { shape: [1], dtype: "f32" }],
      attrs: {},
    },
    { name: "bf16", inputs: [{ shape: [3], dtype: "f32" }, { shape: [3], dtype: "bf16" }], attrs: {} },
  ],
};

const gateGrad: OpCases<None> = {
  op: swigluGradOp,
  reference: swigluGrad,
  tolerance: { entry: 6e-6, largest: 5e-7 },
  cases: [
    ...SHAPES.map((shape) => ({
      name: `[${shape.join(", ")}]`,
      inputs: inputs(normal(shape, "f32", 3), normal(shape), normal(shape)),
      attrs: {},
    })),
    {
      name: "gates far from 0",
      inputs: inputs(exactly([6], [-200, -90, -30, 30, 90, 200]), normal([6]), normal([6])),
      attrs: {},
    },
  ],
  refusals: [
    {
      name: "no output gradient",
      inputs: [{ shape: [3], dtype: "f32" }, { shape: [3], dtype: "f32" }],
      attrs: {},
    },
    {
      name: "an output gradient of another shape",
      inputs: [{ shape: [3], dtype: "f32" }, { shape: [3], dtype: "f32" }, { shape: [4], dtype: "f32" }],
      attrs: {},
    },
  ],
};

/** Cases of what works entry by entry. */
export const ELEMENTWISE: readonly AnyOpCases[] = [sums, products, spread, dtypes, gate, gateGrad];
