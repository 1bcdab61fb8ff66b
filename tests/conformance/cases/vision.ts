/** LayerNorm and GELU. */
import type { Shape } from "../../../core/tensor.ts";
import { type GeluAttrs, geluOp } from "../../../kernels/ops/gelu/mod.ts";
import { type LayernormAttrs, layernormOp } from "../../../kernels/ops/layernorm/mod.ts";
import type { AnyOpCases, OpCases } from "../op_cases.ts";
import { exactly, inputs, normal } from "../random.ts";
import { gelu, layernorm } from "../reference/vision.ts";

const norms: OpCases<LayernormAttrs> = {
  op: layernormOp,
  reference: layernorm,
  cases: [
    ...([[1, 2], [3, 17], [129, 64], [2, 2049], [70000, 3], [0, 6]] as const).map(([rows, n]) => ({
      name: `${rows} rows of ${n}`,
      inputs: inputs(normal([rows, n]), normal([n]), normal([n])),
      attrs: { eps: 1e-6 },
    })),
    {
      name: "one value throughout",
      inputs: inputs(exactly([2, 3], [5, 5, 5, 0, 0, 0]), normal([3]), normal([3])),
      attrs: { eps: 1e-6 },
    },
  ],
  refusals: [
    {
      name: "a bias of another length",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [3], dtype: "f32" }, { shape: [2], dtype: "f32" }],
      attrs: { eps: 1e-6 },
    },
    {
      name: "a weight in bf16",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [3], dtype: "bf16" }, { shape: [3], dtype: "f32" }],
      attrs: { eps: 1e-6 },
    },
  ],
};

const SHAPES: readonly Shape[] = [[1], [17, 3], [0, 4], [70001]];

const activations: OpCases<GeluAttrs> = {
  op: geluOp,
  reference: gelu,
  cases: [false, true].flatMap((tanh) => [
    ...SHAPES.map((shape) => ({
      name: `[${shape.join(", ")}]${tanh ? " with tanh" : ""}`,
      inputs: inputs(normal(shape, "f32", 3)),
      attrs: { tanh },
    })),
    {
      name: `numbers far from 0${tanh ? " with tanh" : ""}`,
      inputs: inputs(exactly([8], [-300, -20, -6, -0, 0, 6, 20, 300])),
      attrs: { tanh },
    },
  ]),
  refusals: [{ name: "integers", inputs: [{ shape: [3], dtype: "i32" }], attrs: {} }],
};

/** Cases of what vision towers have. */
export const VISION: readonly AnyOpCases[] = [norms, activations];
