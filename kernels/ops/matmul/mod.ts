/** Matrix products, batched and with either side transposed. */
import { ShapeError } from "../../../core/errors.ts";
import { describe, type Op, type Run, type Spec, type Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasm, wasmAdd } from "./wasm.ts";
import { wgsl, wgslAdd } from "./wgsl.ts";

/** Which sides are stored transposed. */
export interface MatmulAttrs {
  /** `a` is `[K, M]` instead of `[M, K]`. */
  readonly transA?: boolean;
  /** `b` is `[N, K]` instead of `[K, N]`: a linear layer's weight. */
  readonly transB?: boolean;
  /** Sum each row as it is summed where it is the only one: so a row's result does not depend on how many there are. */
  readonly steady?: boolean;
}

/** The sizes of a product: `batch` is 1 for matrices. */
export interface MatmulSizes {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** `b` is one matrix used for every batch entry. */
  readonly sharedB: boolean;
}

/** Sizes of a product, checked. */
export function sizes(op: string, inputs: readonly Spec[], attrs: MatmulAttrs): MatmulSizes {
  const a = check.input(op, inputs, 0), b = check.input(op, inputs, 1);
  check.dtype(op, "a", a, ["f32"]);
  check.dtype(op, "b", b, check.MATRIX_DTYPES);
  check.blocks(op, "b", b);
  const rankA = a.shape.length, rankB = b.shape.length;
  if (rankA < 2 || rankA > 3 || (rankB !== 2 && rankB !== rankA)) {
    throw new ShapeError(
      op,
      `expected matrices or equal batches of them, received ${describe(a)} and ${describe(b)}`,
    );
  }
  const batch = rankA === 3 ? a.shape[0]! : 1;
  const [p, q] = [a.shape[rankA - 2]!, a.shape[rankA - 1]!];
  const [r, s] = [b.shape[rankB - 2]!, b.shape[rankB - 1]!];
  const [m, k] = attrs.transA ? [q, p] : [p, q];
  const [n, kb] = attrs.transB ? [r, s] : [s, r];
  if (k !== kb || (rankB === 3 && b.shape[0] !== batch)) {
    const words = `a${attrs.transA ? "ᵀ" : ""} · b${attrs.transB ? "ᵀ" : ""}`;
    throw new ShapeError(
      op,
      `expected inner sizes that agree for ${words}, received ${describe(a)} and ${describe(b)}`,
    );
  }
  return { batch, m, n, k, sharedB: rankA === 3 && rankB === 2 };
}

function outShape(inputs: readonly Spec[], s: MatmulSizes): readonly number[] {
  return inputs[0]!.shape.length === 3 ? [s.batch, s.m, s.n] : [s.m, s.n];
}

/** `a · b`: f32 `[M, K]` by `[K, N]` (f32, bf16, f16 or blocks along its last axis), or batches of them. */
export const matmulOp: Op<MatmulAttrs> = {
  name: "matmul",
  infer(inputs, attrs) {
    const s = sizes("matmul", inputs, attrs);
    return [{ shape: outShape(inputs, s), dtype: "f32" }];
  },
  wgsl,
  wasm,
  grad(run, { inputs, douts, attrs, needs }) {
    const [a, b] = inputs as [Tensor, Tensor];
    const d = douts[0];
    if (!d) return [null, null];
    const { transA = false, transB = false } = attrs;
    if (needs[1]) check.trainable("matmul", "b", b);
    if (needs[1] && a.shape.length !== b.shape.length) {
      throw new ShapeError(
        "matmul",
        `expected a gradient by "b" of ${a.shape.length} axes, received ${describe(b)}`,
      );
    }
    if (needs[0] && transA && b.dtype !== "f32") {
      throw new ShapeError(
        "matmul",
        `expected "b" as f32 for a gradient by "a" transposed, received ${describe(b)}`,
      );
    }
    // da = d · bᵀ, or its transpose where `a` is stored so; db = aᵀ · d likewise.
    const da = !needs[0]
      ? null
      : transA
      ? matmul(run, b, d, { transA: transB, transB: true })
      : matmul(run, d, b, { transB: !transB });
    const db = !needs[1]
      ? null
      : transB
      ? matmul(run, d, a, { transA: true, transB: transA })
      : matmul(run, a, d, { transA: !transA });
    return [da, db];
  },
};

/** `c += a · b`, matrices only; `c` is changed in place. */
export const matmulAddOp: Op<MatmulAttrs> = {
  name: "matmul_add",
  alias: { 0: 2 },
  infer(inputs, attrs) {
    check.shape("matmul_add", "a", check.input("matmul_add", inputs, 0), [-1, -1]);
    const s = sizes("matmul_add", inputs, attrs);
    const c = check.input("matmul_add", inputs, 2);
    check.dtype("matmul_add", "c", c, ["f32"]);
    check.shape("matmul_add", "c", c, outShape(inputs, s));
    return [c];
  },
  wgsl: wgslAdd,
  wasm: wasmAdd,
};

/** `a · b`, see {@linkcode matmulOp}. */
export function matmul(run: Run, a: Tensor, b: Tensor, attrs: MatmulAttrs = {}): Tensor {
  return check.first(run(matmulOp, [a, b], attrs));
}

/** A linear layer without bias: `x [T, in] · weightᵀ [out, in]` → `[T, out]`. */
export function linear(run: Run, x: Tensor, weight: Tensor): Tensor {
  return matmul(run, x, weight, { transB: true });
}

/** `c += a · b`; gives `c`. */
export function matmulAdd(run: Run, a: Tensor, b: Tensor, c: Tensor, attrs: MatmulAttrs = {}): Tensor {
  return check.first(run(matmulAddOp, [a, b, c], attrs));
}

/**
 * A `Run` in which the rows of a product with a linear layer's weight do not depend on the rows beside them, bit for bit:
 * what a sequence decodes to is then the same alone and in a batch. Where products have many rows it is slower.
 */
export function steady(run: Run): Run {
  return (op, inputs, attrs) =>
    run(op, inputs, STEADY.includes(op.name) ? { ...attrs, steady: true } : attrs);
}

/** Ops that have the attribute. */
const STEADY: readonly string[] = ["matmul", "matmul_add", "linears"];
