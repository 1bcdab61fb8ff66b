/**
 * Cross-entropy of the draft's distribution against the verifier's, over all tokens and over the verifier's likeliest few,
 * with its gradient in one sweep over row blocks, so that no `[T, V]` tensor is ever whole.
 */
import { ShapeError } from "../../../core/errors.ts";
import { describe, type Op, type Run, type Spec, type Tensor } from "../../../core/tensor.ts";
import { argmax, concat, linear, matmul, mul, slice, sum } from "../../../kernels/ops/mod.ts";
import { wasmRows, wgslRows } from "./cross_entropy_rows.ts";

/** Which sums of `−q log p` make the loss: q the verifier's distribution, p the draft's. */
export interface CrossEntropyAttrs {
  /** Factor of the sum over all tokens. */
  readonly all: number;
  /** Factor of the sum over the verifier's likeliest tokens. */
  readonly top: number;
  /** How many those are. */
  readonly count: number;
}

function floats(op: string, name: string, spec: Spec | undefined, shape: readonly number[]): void {
  const fits = spec?.dtype === "f32" && spec.shape.length === shape.length &&
    shape.every((axis, i) => axis < 0 || axis === spec.shape[i]);
  if (fits) return;
  const words = shape.map((axis) => axis < 0 ? "?" : axis).join(", ");
  throw new ShapeError(
    op,
    `expected "${name}" as f32[${words}], received ${spec ? describe(spec) : "none"}`,
  );
}

/**
 * Row by row: logits, targets f32 `[R, V]`, weights f32 `[R]` → loss f32 `[R]` = `weight · (all · H(all tokens) + top ·
 * H(top tokens))` with `H(S) = −Σ_{x ∈ S} softmax(targets)ₓ · log softmax(logits)ₓ`, and dlogits f32 `[R, V]`. Of equal
 * targets the lower token is the likelier. Rows of weight 0 are not computed: zeros.
 */
export const crossEntropyRowsOp: Op<CrossEntropyAttrs> = {
  name: "eagle_cross_entropy_rows",
  infer([logits, targets, weights], { count }) {
    floats("eagle_cross_entropy_rows", "logits", logits, [-1, -1]);
    floats("eagle_cross_entropy_rows", "targets", targets, logits!.shape);
    floats("eagle_cross_entropy_rows", "weights", weights, [logits!.shape[0]!]);
    if (!Number.isInteger(count) || count < 0) {
      throw new ShapeError("eagle_cross_entropy_rows", `expected a number of tokens, received ${count}`);
    }
    return [{ shape: [logits!.shape[0]!], dtype: "f32" }, logits!];
  },
  wgsl: wgslRows,
  wasm: wasmRows,
};

/** Attributes of {@linkcode linearCrossEntropyOp}. */
export interface LinearCrossEntropyAttrs extends CrossEntropyAttrs {
  /** Compute the gradient too; without it the outputs are the first three. */
  readonly gradients: boolean;
  /** Rows worked at once; chosen from the vocabulary when absent. */
  readonly blockRows?: number;
}

/** Bytes that one block of logits may take. */
const BLOCK_BYTES = 8 << 20;

/**
 * hidden f32 `[T, H]`, target f32 `[T, H]`, head `[V, H]`, weights f32 `[T]` → loss f32 `[1]`, draftIds i32 `[T]` (argmax
 * of `hidden · headᵀ`), targetIds i32 `[T]` (argmax of `target · headᵀ`), and with `gradients` dhidden `[T, H]`. The head
 * is the verifier's for both, and no gradient reaches it.
 */
export const linearCrossEntropyOp: Op<LinearCrossEntropyAttrs> = {
  name: "eagle_linear_cross_entropy",
  infer([hidden, target, head, weights], { gradients }) {
    const name = "eagle_linear_cross_entropy";
    floats(name, "hidden", hidden, [-1, -1]);
    floats(name, "target", target, hidden!.shape);
    floats(name, "weights", weights, [hidden!.shape[0]!]);
    if (head?.shape.length !== 2 || head.shape[1] !== hidden!.shape[1]) {
      const found = head ? describe(head) : "none";
      throw new ShapeError(name, `expected "head" as [?, ${hidden!.shape[1]}], received ${found}`);
    }
    const ids = { shape: [hidden!.shape[0]!], dtype: "i32" } as const;
    const found = [{ shape: [1], dtype: "f32" } as const, ids, ids];
    return gradients ? [...found, hidden!] : found;
  },
  compose(run, inputs, { gradients, blockRows, ...attrs }) {
    const [hidden, target, head, weights] = inputs as [Tensor, Tensor, Tensor, Tensor];
    const { backend } = hidden, rows = hidden.shape[0]!, vocabulary = head.shape[0]!;
    if (rows === 0) {
      const found = [backend.zeros([1]), backend.zeros([0], "i32"), backend.zeros([0], "i32")];
      return gradients ? [...found, backend.zeros(hidden.shape)] : found;
    }
    const step = blockRows ?? Math.max(16, Math.floor(BLOCK_BYTES / 4 / Math.max(vocabulary, 1)));
    const losses: Tensor[] = [], draftIds: Tensor[] = [], targetIds: Tensor[] = [], dhidden: Tensor[] = [];
    for (let start = 0; start < rows; start += step) {
      const block = { axis: 0, start, end: Math.min(start + step, rows) };
      using scope = backend.scope();
      const logits = linear(run, slice(run, hidden, block), head);
      const goal = linear(run, slice(run, target, block), head);
      const [loss, dlogits] = run(crossEntropyRowsOp, [logits, goal, slice(run, weights, block)], attrs);
      losses.push(scope.keep(loss!));
      draftIds.push(scope.keep(argmax(run, logits)));
      targetIds.push(scope.keep(argmax(run, goal)));
      if (gradients) dhidden.push(scope.keep(matmul(run, dlogits!, head)));
    }
    const join = (parts: Tensor[]) => concat(run, parts, 0);
    const found = [sum(run, join(losses)), join(draftIds), join(targetIds)];
    return gradients ? [...found, join(dhidden)] : found;
  },
  grad(run, { outputs, douts, attrs, needs }) {
    if (!attrs.gradients) {
      throw new ShapeError(
        "eagle_linear_cross_entropy",
        "expected gradients: true on a tape, received gradients: false",
      );
    }
    const [d] = douts;
    return [d && needs[0] ? mul(run, outputs[3]!, d) : null, null, null, null];
  },
};

/** What {@linkcode linearCrossEntropy} compares. */
export interface LinearCrossEntropyInputs {
  /** What the head takes of the draft's features, f32 `[T, H]`. */
  readonly hidden: Tensor;
  /** The verifier's features, f32 `[T, H]`. */
  readonly target: Tensor;
  /** The verifier's head `[V, H]`. */
  readonly head: Tensor;
  /** Weight of each row in the loss, f32 `[T]`. */
  readonly weights: Tensor;
}

/** The head over both features and the cross-entropy of what it gives, fused: loss `[1]`, and each side's likeliest. */
export function linearCrossEntropy(
  run: Run,
  x: LinearCrossEntropyInputs,
  attrs: LinearCrossEntropyAttrs,
): { readonly loss: Tensor; readonly draftIds: Tensor; readonly targetIds: Tensor } {
  const [loss, draftIds, targetIds] = run(
    linearCrossEntropyOp,
    [x.hidden, x.target, x.head, x.weights],
    attrs,
  );
  return { loss: loss!, draftIds: draftIds!, targetIds: targetIds! };
}
