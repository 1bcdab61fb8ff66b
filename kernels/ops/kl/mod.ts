/**
 * The distillation loss of a draft's head, `KL(softmax(targets) ‖ softmax(logits))`, computed with its gradient in one
 * sweep over row blocks, so that no `[T, V]` tensor is ever whole.
 */
import { ShapeError } from "../../../core/errors.ts";
import { describe, type Op, type Run, type Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { concat, slice } from "../copy/mod.ts";
import { add, mul } from "../elementwise/mod.ts";
import { linear, matmul, matmulAdd } from "../matmul/mod.ts";
import { argmax, sum } from "../reduce/mod.ts";
import { wasm } from "./wasm.ts";
import { wgsl } from "./wgsl.ts";

/**
 * Row by row: logits, targets f32 `[R, V]`, weights f32 `[R]` →
 * loss f32 `[R]` = `weight · Σ softmax(targets) · (log softmax(targets) − log softmax(logits))`,
 * dlogits f32 `[R, V]` = `weight · (softmax(logits) − softmax(targets))`. Rows of weight 0 are not computed: zeros.
 */
export const klRowsOp: Op<Record<never, never>> = {
  name: "kl_rows",
  infer(inputs) {
    const [logits, targets, weights] = [0, 1, 2].map((i) => check.input("kl_rows", inputs, i));
    check.dtype("kl_rows", "logits", logits!, ["f32"]);
    const [rows] = check.matrix("kl_rows", "logits", logits!);
    check.dtype("kl_rows", "targets", targets!, ["f32"]);
    check.shape("kl_rows", "targets", targets!, logits!.shape);
    check.dtype("kl_rows", "weights", weights!, ["f32"]);
    check.shape("kl_rows", "weights", weights!, [rows]);
    return [{ shape: [rows], dtype: "f32" }, logits!];
  },
  wgsl,
  wasm,
};

/** Attributes of {@linkcode linearKlOp}. */
export interface LinearKlAttrs {
  /** Compute the gradients too; without it the outputs are the first three. */
  readonly gradients: boolean;
  /** Row t is compared with target row `t + shift`; rows past the end have no target and need weight 0. */
  readonly shift?: number;
  /** Rows worked at once; chosen from the vocabulary when absent. */
  readonly blockRows?: number;
}

/** Bytes that one block of logits may take. */
const BLOCK_BYTES = 8 << 20;

/**
 * hidden f32 `[T, H]`, head `[V, H]`, target f32 `[T, G]`, targetHead `[V, G]`, weights f32 `[T]` →
 * loss f32 `[1]` (weighted sum over rows), draftIds i32 `[T]` (argmax of `hidden · headᵀ`), targetIds i32 `[T]` (argmax of
 * `target · targetHeadᵀ` at row `t + shift`, 0 past the end), and with `gradients` dhidden `[T, H]` and dhead `[V, H]`.
 * Gradients reach `hidden` and `head` only.
 */
export const linearKlOp: Op<LinearKlAttrs> = {
  name: "linear_kl",
  infer(inputs, attrs) {
    const [hidden, head, target, targetHead, weights] = [0, 1, 2, 3, 4].map((i) =>
      check.input("linear_kl", inputs, i)
    );
    check.dtype("linear_kl", "hidden", hidden!, ["f32"]);
    const [rows, width] = check.matrix("linear_kl", "hidden", hidden!);
    check.shape("linear_kl", "head", head!, [-1, width]);
    const [targetRows, targetWidth] = check.matrix("linear_kl", "target", target!);
    check.shape("linear_kl", "targetHead", targetHead!, [head!.shape[0]!, targetWidth]);
    check.shape("linear_kl", "weights", weights!, [rows]);
    const shift = attrs.shift ?? 0;
    if (targetRows !== rows || shift < 0) {
      throw new ShapeError(
        "linear_kl",
        `expected a target for each row, received ${describe(target!)} for ${rows}`,
      );
    }
    const ids = { shape: [rows], dtype: "i32" } as const;
    const found = [{ shape: [1], dtype: "f32" } as const, ids, ids];
    return attrs.gradients ? [...found, hidden!, { shape: head!.shape, dtype: "f32" }] : found;
  },
  compose(run, inputs, attrs) {
    const [hidden, head, target, targetHead, weights] = inputs as [Tensor, Tensor, Tensor, Tensor, Tensor];
    const backend = hidden.backend, rows = hidden.shape[0]!, vocabulary = head.shape[0]!;
    const shift = Math.min(attrs.shift ?? 0, rows), paired = rows - shift;
    const step = attrs.blockRows ?? Math.max(16, Math.floor(BLOCK_BYTES / 4 / Math.max(vocabulary, 1)));
    const losses: Tensor[] = [], draftIds: Tensor[] = [], targetIds: Tensor[] = [], dhidden: Tensor[] = [];
    const dhead = attrs.gradients ? backend.zeros(head.shape) : null;
    for (let start = 0; start < paired; start += step) {
      const end = Math.min(start + step, paired);
      using scope = backend.scope();
      const block = slice(run, hidden, { axis: 0, start, end });
      const logits = linear(run, block, head);
      const goal = linear(
        run,
        slice(run, target, { axis: 0, start: start + shift, end: end + shift }),
        targetHead,
      );
      const [loss, dlogits] = run(klRowsOp, [logits, goal, slice(run, weights, { axis: 0, start, end })], {});
      losses.push(scope.keep(sum(run, loss!)));
      draftIds.push(scope.keep(argmax(run, logits)));
      targetIds.push(scope.keep(argmax(run, goal)));
      if (!dhead) continue;
      dhidden.push(scope.keep(matmul(run, dlogits!, head)));
      matmulAdd(run, dlogits!, block, dhead, { transA: true });
    }
    if (paired < rows) { // rows without a target still draft a token
      using scope = backend.scope();
      const rest = linear(run, slice(run, hidden, { axis: 0, start: paired, end: rows }), head);
      draftIds.push(scope.keep(argmax(run, rest)));
      targetIds.push(scope.keep(backend.zeros([rows - paired], "i32")));
      if (dhead) dhidden.push(scope.keep(backend.zeros([rows - paired, hidden.shape[1]!])));
    }
    const join = (parts: Tensor[]) => concat(run, parts, 0);
    if (rows === 0) {
      draftIds.push(backend.zeros([0], "i32"));
      targetIds.push(backend.zeros([0], "i32"));
      dhidden.push(backend.zeros(hidden.shape));
    }
    const loss = losses.length > 0 ? sum(run, join(losses)) : backend.zeros([1]);
    const found = [loss, join(draftIds), join(targetIds)];
    return dhead ? [...found, join(dhidden), dhead] : found;
  },
  grad(run, { outputs, douts, attrs, needs }) {
    if (!attrs.gradients) {
      throw new ShapeError("linear_kl", "expected gradients: true on a tape, received gradients: false");
    }
    const d = douts[0];
    if (!d) return [null, null, null, null, null];
    const [, , , dhidden, dhead] = outputs as [Tensor, Tensor, Tensor, Tensor, Tensor];
    return [needs[0] ? mul(run, dhidden, d) : null, needs[1] ? mul(run, dhead, d) : null, null, null, null];
  },
};

/** What {@linkcode linearKl} compares. */
export interface LinearKlInputs {
  /** The draft's normed hidden states, f32 `[T, H]`. */
  readonly hidden: Tensor;
  /** The draft's head `[V, H]`. */
  readonly head: Tensor;
  /** The verifier's normed last hidden states, f32 `[T, G]`. */
  readonly target: Tensor;
  /** The rows of the verifier's head that the draft vocabulary keeps, `[V, G]`. */
  readonly targetHead: Tensor;
  /** Weight of each row in the loss, f32 `[T]`. */
  readonly weights: Tensor;
}

/** What {@linkcode linearKl} finds. */
export interface LinearKlResult {
  /** f32 `[1]`. */
  readonly loss: Tensor;
  /** The draft's most likely token of each row (draft vocabulary), i32 `[T]`. */
  readonly draftIds: Tensor;
  /** The verifier's at the row's target (draft vocabulary), i32 `[T]`. */
  readonly targetIds: Tensor;
}

/** Linear heads and KL divergence, fused. */
export function linearKl(run: Run, x: LinearKlInputs, attrs: LinearKlAttrs): LinearKlResult {
  const [loss, draftIds, targetIds] = run(
    linearKlOp,
    [x.hidden, x.head, x.target, x.targetHead, x.weights],
    attrs,
  );
  return { loss: loss!, draftIds: draftIds!, targetIds: targetIds! };
}

/** Sum of scalars `[1]`. */
export function total(run: Run, scalars: readonly Tensor[]): Tensor {
  return scalars.slice(1).reduce((all, one) => add(run, all, one), scalars[0]!);
}
