/** The losses of next tokens. */
import type { Op, Shape, Spec } from "../../../core/tensor.ts";
import {
  acceptanceRowsOp,
  crossEntropyRowsOp,
  hybridRowsOp,
  jensenShannonRowsOp,
  klRowsOp,
  type LinearLossAttrs,
  linearLossOp,
  type PointMassAttrs,
  pointMassOp,
  reverseKlRowsOp,
  totalVariationRowsOp,
} from "../../../kernels/ops/loss/mod.ts";
import type { AnyOpCases, OpCase, OpCases } from "../op_cases.ts";
import { exactly, inputs, normal, positive, type Source } from "../random.ts";
import { array } from "../reference/array.ts";
import { linearLoss, LOSS_ROWS, pointMass } from "../reference/losses.ts";

type None = Record<never, never>;

/** Weights of which every third is 0, from the second on. */
function weights(rows: number): Source {
  return (random) => {
    const { data } = positive([rows])(random);
    return array([rows], data.map((x, i) => i % 3 === 1 ? 0 : x));
  };
}

/** Entries that are not numbers in the second row, whose weight is 0. */
function hole([rows, width]: readonly [number, number]): Source {
  return (random) => {
    const { data } = normal([rows, width])(random);
    return array([rows, width], data.map((x, i) => Math.floor(i / width) === 1 ? NaN : x));
  };
}

function specs(shapes: readonly Shape[]): Spec[] {
  return shapes.map((shape) => ({ shape, dtype: "f32" }));
}

const SHAPES = [[1, 1], [3, 17], [17, 3], [129, 129], [2, 5003], [0, 5]] as const;

/** One op of each kernel works more rows than a grid has along one axis; the others share its passes. */
const MANY_ROWS = new Set<Op<None>>([klRowsOp, totalVariationRowsOp]);

function rowsCases(op: Op<None>): OpCases<None> {
  return {
    op,
    reference: LOSS_ROWS[op.name]!,
    tolerance: { entry: 2e-6, largest: 1e-6, absolute: op === klRowsOp ? 0 : 1e-7 },
    cases: [
      ...[...SHAPES, ...(MANY_ROWS.has(op) ? [[70000, 3] as const] : [])].map((shape) => ({
        name: shape.join(" × "),
        inputs: inputs(normal(shape, "f32", 3), normal(shape, "f32", 3), weights(shape[0])),
        attrs: {},
      })),
      {
        name: "logits far apart",
        inputs: inputs(normal([5, 33], "f32", 60), normal([5, 33], "f32", 60), weights(5)),
        attrs: {},
        // Its gradient is the difference of logarithms some hundreds large, of which f32 keeps 1e-5.
        ...(op === reverseKlRowsOp ? { tolerance: { entry: 2e-6, absolute: 2e-5 } } : {}),
      },
      {
        name: "logits far from 0",
        inputs: inputs(
          exactly([1, 4], [-1001, -1000, -1002, -1000]),
          exactly([1, 4], [999, 1000, 1001, 1000]),
          weights(1),
        ),
        attrs: {},
      },
      {
        name: "logits that agree",
        inputs: (random) => {
          const logits = normal([3, 17])(random);
          return [logits, logits, weights(3)(random)];
        },
        attrs: {},
        tolerance: { absolute: 1e-6, entry: 2e-6 },
      },
      {
        name: "no numbers in a row of weight 0",
        inputs: inputs(hole([4, 17]), normal([4, 17]), weights(4)),
        attrs: {},
      },
    ],
    refusals: [
      { name: "targets of another shape", inputs: specs([[2, 3], [2, 4], [2]]), attrs: {} },
      { name: "a weight too few", inputs: specs([[2, 3], [2, 3], [1]]), attrs: {} },
    ],
  };
}

/** Labels within a vocabulary. */
function labels(rows: number, vocabulary: number): Source {
  return (random) =>
    array([rows], Array.from({ length: rows }, () => Math.floor(random() * vocabulary)), "i32");
}

const masses: OpCases<PointMassAttrs> = {
  op: pointMassOp,
  reference: pointMass,
  tolerance: {},
  cases: [
    ...([[1, 1], [3, 17], [300, 5], [0, 5]] as const).map(([rows, width]) => ({
      name: `${rows} of ${width}`,
      inputs: inputs(labels(rows, width)),
      attrs: { width, rest: -7 },
    })),
    {
      name: "labels outside",
      inputs: inputs(exactly([3], [-1, 2, 5], "i32")),
      attrs: { width: 5, rest: -7 },
    },
  ],
  refusals: [{ name: "a matrix", inputs: [{ shape: [2, 2], dtype: "i32" }], attrs: { width: 5, rest: -7 } }],
};

interface Sizes {
  readonly t: number;
  readonly h: number;
  readonly g: number;
  readonly v: number;
}

function fused(
  name: string,
  { t, h, g, v }: Sizes,
  attrs: Omit<LinearLossAttrs, "gradients">,
): OpCase<LinearLossAttrs>[] {
  return (["f32", "bf16"] as const).flatMap((head) =>
    [true, false].map((gradients) => ({
      name: `${name}, head in ${head}${gradients ? ", with gradients" : ""}`,
      inputs: inputs(normal([t, h]), normal([v, h], head), weights(t), normal([t, g]), normal([v, g], head)),
      attrs: { ...attrs, gradients },
      ...(gradients ? { gradient: attrs.frozenHead ? [0] : [0, 1] } : {}),
    }))
  );
}

const LOSSES = [
  klRowsOp,
  reverseKlRowsOp,
  jensenShannonRowsOp,
  crossEntropyRowsOp,
  totalVariationRowsOp,
  acceptanceRowsOp,
  hybridRowsOp,
];

/** Those that are smooth in the logits once their weights stand still; the hybrid's move with the logits, unseen. */
const SMOOTH = LOSSES.filter((op) => op !== hybridRowsOp);

const linear: OpCases<LinearLossAttrs> = {
  op: linearLossOp,
  reference: linearLoss,
  tolerance: { largest: 5e-6 },
  cases: [
    ...fused("one row", { t: 1, h: 3, g: 5, v: 17 }, {}),
    ...fused("17 rows", { t: 17, h: 33, g: 33, v: 129 }, {}),
    ...fused("17 rows in blocks of 5", { t: 17, h: 12, g: 7, v: 40 }, { blockRows: 5 }),
    ...fused("a frozen head", { t: 7, h: 12, g: 7, v: 40 }, { blockRows: 5, frozenHead: true }),
    ...fused("no rows", { t: 0, h: 4, g: 4, v: 5 }, {}),
    ...SMOOTH.flatMap((rows) =>
      fused(`${rows.name} alone`, { t: 5, h: 6, g: 7, v: 9 }, { terms: [{ weight: 1, rows }] })
    ),
    ...fused("a sum of losses", { t: 7, h: 6, g: 7, v: 9 }, {
      terms: [{ weight: 0.25, rows: crossEntropyRowsOp }, { weight: 1, rows: klRowsOp }, {
        weight: 3,
        rows: totalVariationRowsOp,
      }],
      blockRows: 4,
    }),
    ...LOSSES.filter((op) => op !== reverseKlRowsOp && op !== hybridRowsOp).map((rows) => ({
      name: `labels, ${rows.name}`,
      inputs: inputs(normal([9, 6]), normal([11, 6]), weights(9), labels(9, 11)),
      attrs: { gradients: true, blockRows: 4, terms: [{ weight: 1, rows }] },
      gradient: [0, 1],
    })),
  ],
  refusals: [
    {
      name: "a target too few",
      inputs: specs([[3, 2], [5, 2], [3], [2, 2], [5, 2]]),
      attrs: { gradients: true },
    },
    {
      name: "a target head of another vocabulary",
      inputs: specs([[3, 2], [5, 2], [3], [3, 2], [4, 2]]),
      attrs: { gradients: true },
    },
    {
      name: "a weight too few",
      inputs: specs([[3, 2], [5, 2], [2], [3, 2], [5, 2]]),
      attrs: { gradients: true },
    },
    { name: "no target", inputs: specs([[3, 2], [5, 2], [3]]), attrs: { gradients: true } },
    { name: "labels that are floats", inputs: specs([[3, 2], [5, 2], [3], [3]]), attrs: { gradients: true } },
    {
      name: "no loss",
      inputs: specs([[3, 2], [5, 2], [3], [3, 2], [5, 2]]),
      attrs: { gradients: true, terms: [] },
    },
  ],
};

/** Cases of the losses. */
export const LOSS: readonly AnyOpCases[] = [...LOSSES.map(rowsCases), masses, linear];
