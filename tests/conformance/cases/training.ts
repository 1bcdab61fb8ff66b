/** The optimiser. */
import type { Shape, Spec } from "../../../core/tensor.ts";
import {
  type AdamwAttrs,
  adamwOp,
  type ClipScaleAttrs,
  clipScaleOp,
} from "../../../kernels/ops/optimizer/mod.ts";
import type { AnyOpCases, OpCase, OpCases } from "../op_cases.ts";
import { exactly, inputs, normal, positive } from "../random.ts";
import { adamw, clipScale } from "../reference/optimizer.ts";

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
export const TRAINING: readonly AnyOpCases[] = [clips, steps];
