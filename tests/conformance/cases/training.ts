/** The distillation loss and the optimiser. */
import type { Shape, Spec } from "../../../core/tensor.ts";
import { klRowsOp, type LinearKlAttrs, linearKlOp } from "../../../kernels/ops/kl/mod.ts";
import {
  type AdamwAttrs,
  adamwOp,
  type ClipScaleAttrs,
  clipScaleOp,
} from "../../../kernels/ops/optimizer/mod.ts";
import type { AnyOpCases, OpCase, OpCases } from "../op_cases.ts";
import { exactly, inputs, normal, positive, type Source } from "../random.ts";
import { array } from "../reference/array.ts";
import { klRows, linearKl } from "../reference/kl.ts";
import { adamw, clipScale } from "../reference/optimizer.ts";

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

const rows: OpCases<None> = {
  op: klRowsOp,
  reference: klRows,
  tolerance: { entry: 2e-6, largest: 1e-6 },
  cases: [
    ...([[1, 1], [3, 17], [17, 3], [129, 129], [2, 5003], [70000, 3], [0, 5]] as const).map((shape) => ({
      name: shape.join(" × "),
      inputs: inputs(normal(shape, "f32", 3), normal(shape, "f32", 3), weights(shape[0])),
      attrs: {},
    })),
    {
      name: "logits far apart",
      inputs: inputs(normal([5, 33], "f32", 60), normal([5, 33], "f32", 60), weights(5)),
      attrs: {},
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
      tolerance: { absolute: 1e-6 },
    },
    {
      name: "no numbers in a row of weight 0",
      inputs: inputs(hole([4, 17]), normal([4, 17]), weights(4)),
      attrs: {},
    },
  ],
  refusals: [
    {
      name: "targets of another shape",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [2, 4], dtype: "f32" }, {
        shape: [2],
        dtype: "f32",
      }],
      attrs: {},
    },
    {
      name: "a weight too few",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [2, 3], dtype: "f32" }, {
        shape: [1],
        dtype: "f32",
      }],
      attrs: {},
    },
  ],
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
  attrs: Omit<LinearKlAttrs, "gradients">,
): OpCase<LinearKlAttrs>[] {
  const { shift = 0 } = attrs;
  const used: Source = (random) => {
    const { data } = weights(t)(random);
    return array([t], data.map((x, i) => i < t - shift ? x : 0));
  };
  return (["f32", "bf16"] as const).flatMap((head) =>
    [true, false].map((gradients) => ({
      name: `${name}, head in ${head}${gradients ? ", with gradients" : ""}`,
      inputs: inputs(normal([t, h]), normal([v, h], head), normal([t, g]), normal([v, g], head), used),
      attrs: { ...attrs, gradients },
      ...(gradients ? { gradient: [0, 1] } : {}),
    }))
  );
}

const linear: OpCases<LinearKlAttrs> = {
  op: linearKlOp,
  reference: linearKl,
  tolerance: { largest: 5e-6 },
  cases: [
    ...fused("one row", { t: 1, h: 3, g: 5, v: 17 }, {}),
    ...fused("17 rows", { t: 17, h: 33, g: 33, v: 129 }, {}),
    ...fused("17 rows in blocks of 5", { t: 17, h: 12, g: 7, v: 40 }, { blockRows: 5 }),
    ...fused("17 rows, shifted by 3", { t: 17, h: 12, g: 12, v: 40 }, { shift: 3 }),
    ...fused("40 rows, shifted by 1, in blocks of 16", { t: 40, h: 12, g: 12, v: 33 }, {
      shift: 1,
      blockRows: 16,
    }),
    ...fused("rows of which none has a target", { t: 3, h: 4, g: 4, v: 5 }, { shift: 3 }),
    ...fused("a shift beyond the rows", { t: 3, h: 4, g: 4, v: 5 }, { shift: 7 }),
    ...fused("no rows", { t: 0, h: 4, g: 4, v: 5 }, {}),
  ],
  refusals: [
    {
      name: "a target too few",
      inputs: specs([[3, 2], [5, 2], [2, 2], [5, 2], [3]]),
      attrs: { gradients: true },
    },
    {
      name: "a target head of another vocabulary",
      inputs: specs([[3, 2], [5, 2], [3, 2], [4, 2], [3]]),
      attrs: { gradients: true },
    },
    {
      name: "a weight too few",
      inputs: specs([[3, 2], [5, 2], [3, 2], [5, 2], [2]]),
      attrs: { gradients: true },
    },
    {
      name: "a shift backwards",
      inputs: specs([[3, 2], [5, 2], [3, 2], [5, 2], [3]]),
      attrs: { gradients: true, shift: -1 },
    },
  ],
};

function specs(shapes: readonly Shape[]): Spec[] {
  return shapes.map((shape) => ({ shape, dtype: "f32" }));
}

const clips: OpCases<ClipScaleAttrs> = {
  op: clipScaleOp,
  reference: clipScale,
  tolerance: { entry: 1e-6 },
  cases: [
    ...[1, 3, 17, 129, 1000].flatMap((count) =>
      [0.5, 1000].map((maxNorm) => ({
        name: `${count} down to ${maxNorm}`,
        inputs: inputs(positive([count])),
        attrs: { maxNorm },
      }))
    ),
    { name: "zeros", inputs: inputs(exactly([3], [0, 0, 0])), attrs: { maxNorm: 1 } },
    { name: "nothing", inputs: inputs(normal([0])), attrs: { maxNorm: 1 } },
    { name: "no bound", inputs: inputs(positive([3])), attrs: { maxNorm: 1e30 } },
    { name: "a norm just at the bound", inputs: inputs(exactly([2], [0.36, 0.64])), attrs: { maxNorm: 1 } },
  ],
  refusals: [{ name: "a matrix", inputs: specs([[2, 2]]), attrs: { maxNorm: 1 } }],
};

const BASE: AdamwAttrs = { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01, step: 1 };

function stepped(name: string, shape: Shape, attrs: AdamwAttrs): OpCase<AdamwAttrs> {
  return {
    name,
    inputs: inputs(
      normal(shape),
      normal(shape, "f32", 0.1),
      positive(shape),
      normal(shape),
      exactly([1], [0.37]),
    ),
    attrs,
  };
}

const steps: OpCases<AdamwAttrs> = {
  op: adamwOp,
  reference: adamw,
  tolerance: { entry: 1e-6, largest: 3e-7 },
  cases: [
    ...([[1], [3], [17, 129], [2, 3, 5], [70000], [0], [0, 3]] as const).map((shape) =>
      stepped(`[${shape.join(", ")}]`, shape, BASE)
    ),
    stepped("step 2", [33], { ...BASE, step: 2 }),
    stepped("step 1000", [33], { ...BASE, step: 1000 }),
    stepped("step 100000", [33], { ...BASE, step: 100000 }),
    stepped("no learning rate", [33], { ...BASE, lr: 0 }),
    stepped("no decay", [33], { ...BASE, weightDecay: 0 }),
    stepped("other settings", [33], { lr: 0.3, beta1: 0.5, beta2: 0.8, eps: 0.1, weightDecay: 0.4, step: 3 }),
    {
      name: "a first step along zeros and very small gradients",
      inputs: inputs(
        normal([4]),
        exactly([4], [0, 0, 0, 0]),
        exactly([4], [0, 0, 0, 0]),
        exactly([4], [0, 1e-6, -1e-9, 1e-8]),
        exactly([1], [1]),
      ),
      attrs: BASE,
    },
  ],
  refusals: [
    { name: "a gradient of another shape", inputs: specs([[3], [3], [3], [4], [1]]), attrs: BASE },
    { name: "a moment of another shape", inputs: specs([[3], [3], [1], [3], [1]]), attrs: BASE },
    { name: "no factor", inputs: specs([[3], [3], [3], [3]]), attrs: BASE },
    { name: "two factors", inputs: specs([[3], [3], [3], [3], [2]]), attrs: BASE },
  ],
};

/** Cases of what only training runs. */
export const TRAINING: readonly AnyOpCases[] = [rows, linear, clips, steps];
