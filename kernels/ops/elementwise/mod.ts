/** Sums and products of equal shapes, of a row with every row, and of a scalar with everything; casts. */
import { ShapeError } from "../../../core/errors.ts";
import {
  describe,
  type DType,
  type Op,
  type Run,
  type Shape,
  type Spec,
  type Tensor,
} from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { sum, sumRows } from "../reduce/mod.ts";
import { wasmAdd, wasmCast, wasmExpand, wasmMul } from "./wasm.ts";
import { wgslAdd, wgslCast, wgslExpand, wgslMul } from "./wgsl.ts";

/** How the second operand meets the first: as it is, one row for all, one scalar for all. */
export type Broadcast = "same" | "row" | "scalar";

/** Which broadcast two shapes mean; `same` wins where several fit. */
export function broadcast(op: string, a: Spec, b: Spec): Broadcast {
  check.dtype(op, "a", a, ["f32"]);
  check.dtype(op, "b", b, ["f32"]);
  const { shape: sa } = a, { shape: sb } = b;
  if (sa.length === sb.length && sa.every((axis, i) => axis === sb[i])) return "same";
  if (sb.length === 1 && sb[0] === sa.at(-1)) return "row";
  if (sb.length === 1 && sb[0] === 1) return "scalar";
  throw new ShapeError(
    op,
    `expected equal shapes, a row or a scalar, received ${describe(a)} and ${describe(b)}`,
  );
}

/** Attributes of {@linkcode addOp}. */
export interface AddAttrs {
  /** Factor of the second operand; 1 if absent. */
  readonly alpha?: number;
}

/** Brings a gradient of the full shape down to that of a broadcast operand. */
function reduceTo(run: Run, grad: Tensor, kind: Broadcast): Tensor {
  return kind === "same" ? grad : kind === "row" ? sumRows(run, grad) : sum(run, grad);
}

/** `a + alpha · b`, f32. */
export const addOp: Op<AddAttrs> = {
  name: "add",
  infer(inputs) {
    const a = check.input("add", inputs, 0);
    broadcast("add", a, check.input("add", inputs, 1));
    return [{ shape: a.shape, dtype: "f32" }];
  },
  wgsl: wgslAdd,
  wasm: wasmAdd,
  grad(run, { inputs, douts, attrs, needs }) {
    const d = douts[0];
    if (!d) return [null, null];
    if (!needs[1]) return [d, null];
    const kind = broadcast("add", inputs[0]!, inputs[1]!);
    const alpha = attrs.alpha ?? 1;
    const scaled = alpha === 1 ? d : add(run, d, d, { alpha: alpha - 1 });
    return [d, reduceTo(run, scaled, kind)];
  },
};

/** `a · b` entry by entry, f32. */
export const mulOp: Op<Record<never, never>> = {
  name: "mul",
  infer(inputs) {
    const a = check.input("mul", inputs, 0);
    broadcast("mul", a, check.input("mul", inputs, 1));
    return [{ shape: a.shape, dtype: "f32" }];
  },
  wgsl: wgslMul,
  wasm: wasmMul,
  grad(run, { inputs, douts, needs }) {
    const [a, b] = inputs as [Tensor, Tensor];
    const d = douts[0];
    if (!d) return [null, null];
    const da = needs[0] ? mul(run, d, b) : null;
    const db = needs[1] ? reduceTo(run, mul(run, d, a), broadcast("mul", a, b)) : null;
    return [da, db];
  },
};

/** Attributes of {@linkcode expandOp}. */
export interface ExpandAttrs {
  /** The shape to fill. */
  readonly shape: Shape;
}

/** A scalar `[1]` repeated to a shape, f32. */
export const expandOp: Op<ExpandAttrs> = {
  name: "expand",
  infer(inputs, { shape }) {
    const x = check.input("expand", inputs, 0);
    check.dtype("expand", "x", x, ["f32"]);
    check.shape("expand", "x", x, [1]);
    return [{ shape, dtype: "f32" }];
  },
  wgsl: wgslExpand,
  wasm: wasmExpand,
  grad(run, { douts }) {
    return [douts[0] ? sum(run, douts[0]) : null];
  },
};

/** Attributes of {@linkcode castOp}. */
export interface CastAttrs {
  /** The dtype to cast to. */
  readonly dtype: DType;
}

/** Between f32, bf16 and f16: exact when widening, to nearest even when narrowing. */
export const castOp: Op<CastAttrs> = {
  name: "cast",
  infer(inputs, { dtype }) {
    const x = check.input("cast", inputs, 0);
    check.dtype("cast", "x", x, check.WEIGHT_DTYPES);
    check.dtype("cast", "output", { shape: x.shape, dtype }, check.WEIGHT_DTYPES);
    return [{ shape: x.shape, dtype }];
  },
  wgsl: wgslCast,
  wasm: wasmCast,
  grad: (_run, { douts }) => [douts[0] ?? null], // gradients are f32 whatever is differentiated
};

/** `a + alpha · b`; `b` may be a row or a scalar. */
export function add(run: Run, a: Tensor, b: Tensor, attrs: AddAttrs = {}): Tensor {
  return check.first(run(addOp, [a, b], attrs));
}

/** `a · b` entry by entry; `b` may be a row or a scalar. */
export function mul(run: Run, a: Tensor, b: Tensor): Tensor {
  return check.first(run(mulOp, [a, b], {}));
}

/** A scalar `[1]` repeated to a shape. */
export function expand(run: Run, x: Tensor, shape: Shape): Tensor {
  return check.first(run(expandOp, [x], { shape }));
}

/** To another floating dtype. */
export function cast(run: Run, x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : check.first(run(castOp, [x], { dtype }));
}
