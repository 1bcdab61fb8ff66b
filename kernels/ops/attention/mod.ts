/**
 * Grouped-query attention whose mask is never a matrix: each query sees one run of keys and, in test-time training, its
 * own diagonal in each later block of keys. Scores are worked in blocks with a running softmax (Dao et al. 2022,
 * arXiv 2205.14135), blocks that no query of a tile sees are skipped.
 */
import { ShapeError, SpeculatorsError } from "../../../core/errors.ts";
import { describe, type Op, type Run, type Spec, type Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasm, wasmGrad } from "./wasm.ts";
import { wgsl, wgslGrad } from "./wgsl.ts";

/** Attributes of {@linkcode attentionOp}. */
export interface AttentionAttrs {
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads: head h of the queries reads head `h / (heads / kvHeads)` of these. */
  readonly kvHeads: number;
  /** Entries of one head. */
  readonly headDim: number;
  /** Factor of the scores, usually `1 / sqrt(headDim)`. */
  readonly scale: number;
  /**
   * Further blocks of keys, `T` rows each, after the first `F = S − diagonals·T`: query q sees of block b ≥ 1 row
   * `F + (b − 1)·T + q` only (Eagle-3's test-time training, arXiv 2503.01840). 0 if absent. F may be any size: queries
   * may be some rows of a longer sequence.
   */
  readonly diagonals?: number;
}

function checked(op: string, inputs: readonly Spec[], attrs: AttentionAttrs): [Spec, Spec, Spec] {
  const [q, k, v, ranges] = [0, 1, 2, 3].map((i) => check.input(op, inputs, i)) as [Spec, Spec, Spec, Spec];
  const { heads, kvHeads, headDim, diagonals = 0 } = attrs;
  if (heads <= 0 || kvHeads <= 0 || heads % kvHeads !== 0) {
    throw new ShapeError(op, `expected heads as a multiple of kvHeads, received ${heads} and ${kvHeads}`);
  }
  for (const [name, spec] of [["q", q], ["k", k], ["v", v]] as const) check.dtype(op, name, spec, ["f32"]);
  check.shape(op, "q", q, [-1, heads * headDim]);
  check.shape(op, "k", k, [-1, kvHeads * headDim]);
  check.shape(op, "v", v, k.shape);
  const rows = q.shape[0]!;
  check.dtype(op, "ranges", ranges, ["i32"]);
  check.shape(op, "ranges", ranges, [rows, 2]);
  if (k.shape[0]! < diagonals * rows) {
    throw new ShapeError(
      op,
      `expected at least ${diagonals} blocks of ${rows} keys, received ${describe(k)}`,
    );
  }
  return [q, k, v];
}

/**
 * q f32 `[T, heads·headDim]`, k and v f32 `[S, kvHeads·headDim]`, ranges i32 `[T, 2]` → out like q, lse f32 `[T, heads]`.
 *
 * Query t sees keys j with `ranges[t][0] ≤ j < ranges[t][1]` (with diagonals: of the first F), and its diagonals. `lse` is
 * the logarithm of the sum of exponentials of its scaled scores. A query that sees nothing gives zeros and an lse of −1e30.
 */
export const attentionOp: Op<AttentionAttrs> = {
  name: "attention",
  infer(inputs, attrs) {
    const [q] = checked("attention", inputs, attrs);
    return [q, { shape: [q.shape[0]!, attrs.heads], dtype: "f32" }];
  },
  wgsl,
  wasm,
  grad(run, { inputs, outputs, douts, attrs }) {
    refuseLseGradient("attention", douts);
    if (!douts[0]) return [null, null, null, null];
    const [q, k, v, ranges] = inputs as [Tensor, Tensor, Tensor, Tensor];
    const [out, lse] = outputs as [Tensor, Tensor];
    return [...run(attentionGradOp, [q, k, v, ranges, out, lse, douts[0]], attrs), null];
  },
};

/**
 * Refuses a gradient that arrives at the sums of exponentials: the way back of attention does not take it along, and what
 * came out without it would be wrong.
 *
 * @throws {SpeculatorsError} `E_TAPE` when there is one
 */
export function refuseLseGradient(op: string, douts: readonly (Tensor | null)[]): void {
  if (!douts[1]) return;
  throw new SpeculatorsError(
    "E_TAPE",
    `Cannot differentiate "${op}": expected a gradient by "out" alone, received one by "lse"`,
    { hint: "Compute what depends on lse on the backend, outside the tape" },
  );
}

/** Gradients of {@linkcode attentionOp}: (q, k, v, ranges, out, lse, dout) → (dq, dk, dv). Keys nobody sees get zeros. */
export const attentionGradOp: Op<AttentionAttrs> = {
  name: "attention_grad",
  infer(inputs, attrs) {
    const specs = checked("attention_grad", inputs, attrs), [q] = specs;
    check.shape("attention_grad", "out", check.input("attention_grad", inputs, 4), q.shape);
    check.shape("attention_grad", "lse", check.input("attention_grad", inputs, 5), [
      q.shape[0]!,
      attrs.heads,
    ]);
    check.shape("attention_grad", "dout", check.input("attention_grad", inputs, 6), q.shape);
    return specs;
  },
  wgsl: wgslGrad,
  wasm: wasmGrad,
};

/** What {@linkcode attention} attends over. */
export interface AttentionInputs {
  /** f32 `[T, heads·headDim]`. */
  readonly q: Tensor;
  /** f32 `[S, kvHeads·headDim]`. */
  readonly k: Tensor;
  /** f32 `[S, kvHeads·headDim]`. */
  readonly v: Tensor;
  /** i32 `[T, 2]`: first key seen, and one past the last. */
  readonly ranges: Tensor;
}

/** Attention of each query over the keys it may see. */
export function attention(run: Run, x: AttentionInputs, attrs: AttentionAttrs): Tensor {
  return check.first(run(attentionOp, [x.q, x.k, x.v, x.ranges], attrs));
}
