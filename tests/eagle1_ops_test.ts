/** The ops of drafts in the `eagle` format, on every backend. */
import type { Shape, Spec } from "../core/tensor.ts";
import { type CrossEntropyAttrs, crossEntropyRowsOp } from "../plugins/_shared/eagle1/cross_entropy.ts";
import { smoothL1Op, smoothL1RowsOp } from "../plugins/_shared/eagle1/smooth_l1.ts";
import { opSuite } from "./conformance/mod.ts";
import type { AnyOpCases, OpCase, OpCases } from "./conformance/op_cases.ts";
import { exactly, inputs, normal, positive, type Source } from "./conformance/random.ts";
import { array } from "./conformance/reference/array.ts";
import type { Reference } from "./conformance/reference/types.ts";
import { devices } from "./devices.ts";

type None = Record<never, never>;

/** Weights of which every third is 0, from the second on. */
function weights(rows: number): Source {
  return (random) => array([rows], positive([rows])(random).data.map((x, i) => i % 3 === 1 ? 0 : x));
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

function logSoftmax(row: Float64Array): Float64Array {
  const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const total = row.reduce((sum, x) => sum + Math.exp(x - top), 0);
  return row.map((x) => x - top - Math.log(total));
}

const crossEntropyRows: Reference<CrossEntropyAttrs> = ([logits, targets, factors], attrs) => {
  const [rows, width] = logits!.shape as [number, number];
  const loss = array([rows]), dlogits = array([rows, width]);
  for (let t = 0; t < rows; t++) {
    const weight = factors!.data[t]!, part = [t * width, (t + 1) * width] as const;
    if (weight === 0) continue;
    const goal = targets!.data.subarray(...part), q = logSoftmax(goal).map(Math.exp);
    const logp = logSoftmax(logits!.data.subarray(...part));
    const order = Array.from(goal.keys()).sort((i, j) => goal[j]! - goal[i]! || i - j);
    const top = new Set(order.slice(0, attrs.count));
    const wanted = q.map((x, i) => weight * x * (attrs.all + (top.has(i) ? attrs.top : 0)));
    const sum = wanted.reduce((a, b) => a + b, 0);
    for (let i = 0; i < width; i++) {
      loss.data[t]! -= wanted[i]! * logp[i]!;
      dlogits.data[t * width + i] = sum * Math.exp(logp[i]!) - wanted[i]!;
    }
  }
  return [loss, dlogits];
};

const EAGLE: CrossEntropyAttrs = { all: 0.1, top: 0, count: 0 };
const HASS: CrossEntropyAttrs = { all: 0.1, top: 1, count: 10 };

const rows: OpCases<CrossEntropyAttrs> = {
  op: crossEntropyRowsOp,
  reference: crossEntropyRows,
  tolerance: { entry: 2e-6, largest: 1e-6 },
  cases: [
    ...([[1, 1], [3, 17], [17, 3], [129, 129], [2, 5003], [0, 5]] as const).flatMap((shape) =>
      [EAGLE, HASS].map((attrs) => ({
        name: `${shape.join(" × ")}, the likeliest ${attrs.count}`,
        inputs: inputs(normal(shape, "f32", 3), normal(shape, "f32", 3), weights(shape[0])),
        attrs,
      }))
    ),
    {
      name: "logits far apart",
      inputs: inputs(normal([5, 33], "f32", 60), normal([5, 33], "f32", 60), weights(5)),
      attrs: HASS,
    },
    {
      name: "logits far from 0",
      inputs: inputs(
        exactly([1, 4], [-1001, -1000, -1002, -1000]),
        exactly([1, 4], [999, 1000, 1001, 1000]),
        weights(1),
      ),
      attrs: { all: 0, top: 1, count: 2 },
    },
    {
      name: "targets that are all alike",
      inputs: inputs(normal([2, 700]), exactly([2, 700], new Array(1400).fill(0.5)), weights(2)),
      attrs: { all: 0, top: 1, count: 300 },
    },
    {
      name: "no numbers in a row of weight 0",
      inputs: inputs(hole([4, 17]), normal([4, 17]), weights(4)),
      attrs: HASS,
    },
  ],
  refusals: [
    { name: "targets of another shape", inputs: specs([[2, 3], [2, 4], [2]]), attrs: EAGLE },
    { name: "a weight too few", inputs: specs([[2, 3], [2, 3], [1]]), attrs: EAGLE },
    { name: "half a token", inputs: specs([[2, 3], [2, 3], [2]]), attrs: { ...HASS, count: 0.5 } },
  ],
};

const smoothL1Rows: Reference<None> = ([x, target, factors]) => {
  const [rows, width] = x!.shape as [number, number];
  const loss = array([rows]), dx = array([rows, width]);
  for (let i = 0; i < rows * width; i++) {
    const row = Math.floor(i / width), weight = factors!.data[row]! / width;
    if (weight === 0) continue;
    const d = x!.data[i]! - target!.data[i]!;
    loss.data[row]! += weight * (Math.abs(d) < 1 ? d * d / 2 : Math.abs(d) - 0.5);
    dx.data[i] = weight * (Math.abs(d) < 1 ? d : Math.sign(d));
  }
  return [loss, dx];
};

const regressionCases: OpCase<None>[] = [
  ...([[1, 1], [3, 17], [17, 3], [5, 700], [66000, 2], [0, 5], [2, 0]] as const).map((shape) => ({
    name: shape.join(" × "),
    inputs: inputs(normal(shape), normal(shape), weights(shape[0])),
    attrs: {},
  })),
  {
    name: "differences at the bend and at 0",
    inputs: inputs(exactly([1, 4], [1, -1, 0, 2]), exactly([1, 4], [0, 0, 0, 0]), exactly([1], [1])),
    attrs: {},
  },
  {
    name: "no numbers in a row of weight 0",
    inputs: inputs(hole([4, 17]), normal([4, 17]), weights(4)),
    attrs: {},
  },
];

const regressionRows: OpCases<None> = {
  op: smoothL1RowsOp,
  reference: smoothL1Rows,
  cases: regressionCases,
  refusals: [
    { name: "a target of another shape", inputs: specs([[2, 3], [3, 2], [2]]), attrs: {} },
    { name: "a weight too many", inputs: specs([[2, 3], [2, 3], [3]]), attrs: {} },
  ],
};

const regression: OpCases<None> = {
  op: smoothL1Op,
  reference: (arrays) => {
    const [loss, dx] = smoothL1Rows(arrays, {});
    return [array([1], [loss!.data.reduce((a, b) => a + b, 0)]), dx!];
  },
  cases: regressionCases.map((one) => one.name === "3 × 17" ? { ...one, gradient: [0] } : one),
  refusals: regressionRows.refusals!,
};

for (const { name, open, skip } of devices()) {
  for (const cases of [rows, regressionRows, regression] as readonly AnyOpCases[]) {
    opSuite(cases, open, {
      name,
      test: (title, fn) => Deno.test({ name: title, ignore: skip !== undefined, fn }),
    });
  }
}
