/** Rotary position embedding (Su et al. 2021, arXiv 2104.09864), in halves as Hugging Face stores heads. */
import { ShapeError } from "../../../core/errors.ts";
import { describe, type Op, type Run, type Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasm } from "./wasm.ts";
import { wgsl } from "./wgsl.ts";

/** Attributes of {@linkcode ropeOp}. */
export interface RopeAttrs {
  /** Entries of one head. */
  readonly headDim: number;
  /** Rotate back: the gradient of the rotation. */
  readonly inverse?: boolean;
}

/**
 * x f32 `[T, heads·headDim]`, cos and sin f32 `[P, headDim/2]`, positions i32 `[T]` (rows of the tables) → like x.
 * With the halves x₁, x₂ of a head: `[x₁ cos − x₂ sin, x₂ cos + x₁ sin]`.
 */
export const ropeOp: Op<RopeAttrs> = {
  name: "rope",
  infer(inputs, { headDim }) {
    const [x, cos, sin, positions] = [0, 1, 2, 3].map((i) => check.input("rope", inputs, i));
    for (const [name, spec] of [["x", x], ["cos", cos], ["sin", sin]] as const) {
      check.dtype("rope", name, spec!, ["f32"]);
    }
    const [rows, width] = check.matrix("rope", "x", x!);
    if (headDim <= 0 || headDim % 2 !== 0 || width % headDim !== 0) {
      throw new ShapeError("rope", `expected heads of an even size ${headDim}, received ${describe(x!)}`);
    }
    check.shape("rope", "cos", cos!, [-1, headDim / 2]);
    check.shape("rope", "sin", sin!, cos!.shape);
    check.dtype("rope", "positions", positions!, ["i32"]);
    check.shape("rope", "positions", positions!, [rows]);
    return [x!];
  },
  wgsl,
  wasm,
  grad(run, { inputs, douts, attrs }) {
    const [, cos, sin, positions] = inputs as [Tensor, Tensor, Tensor, Tensor];
    const d = douts[0];
    if (!d) return [null, null, null, null];
    const back = run(ropeOp, [d, cos, sin, positions], { ...attrs, inverse: !attrs.inverse });
    return [back[0]!, null, null, null];
  },
};

/** Tables of the angles' cosines and sines. */
export interface RopeTables {
  /** f32 `[P, headDim/2]`. */
  readonly cos: Tensor;
  /** f32 `[P, headDim/2]`. */
  readonly sin: Tensor;
}

/** Rotates every head of every row by its position. */
export function rope(run: Run, x: Tensor, tables: RopeTables, positions: Tensor, headDim: number): Tensor {
  return check.first(run(ropeOp, [x, tables.cos, tables.sin, positions], { headDim }));
}
