/**
 * What a draft's head is trained by: losses of its distribution of the next token against the verifier's, computed with
 * their gradients in one sweep over row blocks, so that no `[T, V]` tensor is ever whole.
 */
import { ShapeError } from "../../../core/errors.ts";
import { describe, type Op, type Run, type Spec, type Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { concat, slice } from "../copy/mod.ts";
import { add, mul } from "../elementwise/mod.ts";
import { linear, matmul, matmulAdd } from "../matmul/mod.ts";
import { argmax, sum } from "../reduce/mod.ts";
import { pointMass } from "./point_mass.ts";
import { klRowsOp } from "./rows.ts";

export * from "./point_mass.ts";
export * from "./rows.ts";

/** Row by row: logits, targets f32 `[R, V]`, weights f32 `[R]` → loss f32 `[R]` and its gradient dlogits f32 `[R, V]`. */
export type RowsOp = Op<Record<never, never>>;

/** A loss and its share in the sum that is trained. */
export interface WeightedLoss {
  /** Its factor. */
  readonly weight: number;
  /** The loss of a block of rows. */
  readonly rows: RowsOp;
}

/** Attributes of {@linkcode linearLossOp}. */
export interface LinearLossAttrs {
  /** The losses that are summed; divergence from the verifier (`klRowsOp`) when absent. */
  readonly terms?: readonly WeightedLoss[];
  /** Compute the gradients too; without it the outputs are the first four. */
  readonly gradients: boolean;
  /** The head takes no gradient: its part of the outputs and of the work is left out. */
  readonly frozenHead?: boolean;
  /** Rows worked at once; chosen from the vocabulary when absent. */
  readonly blockRows?: number;
}

/** Bytes that one block of logits may take. */
const BLOCK_BYTES = 16 << 20;

const KL: readonly WeightedLoss[] = [{ weight: 1, rows: klRowsOp }];

/** What the loss adds up from, and in which order the outputs stand. */
const NAME = "linear_loss";

function checkTarget(rest: readonly Spec[], rows: number, vocabulary: number): void {
  const [target, targetHead] = rest;
  if (!target) throw new ShapeError(NAME, "expected a target, received none");
  if (rest.length === 1) {
    check.dtype(NAME, "labels", target, ["i32"]);
    return check.shape(NAME, "labels", target, [rows]);
  }
  const [, width] = check.matrix(NAME, "target", target);
  check.shape(NAME, "target", target, [rows, width]);
  check.shape(NAME, "targetHead", targetHead!, [vocabulary, width]);
}

/**
 * hidden f32 `[T, H]`, head `[V, H]`, weights f32 `[T]`, and either target f32 `[T, G]` and targetHead `[V, G]`, whose
 * product is the verifier's logits, or labels i32 `[T]` →
 * loss f32 `[1]` (weighted sum over rows and terms), draftIds i32 `[T]` (argmax of `hidden · headᵀ`), targetIds i32 `[T]`
 * (argmax of the target's logits, or the labels), terms f32 `[n]` (each term's part of the loss), and with `gradients`
 * dhidden `[T, H]` and, unless the head is frozen, dhead `[V, H]`. No gradient reaches the target.
 */
export const linearLossOp: Op<LinearLossAttrs> = {
  name: NAME,
  infer(inputs, { terms = KL, gradients, frozenHead = false }) {
    const [hidden, head, weights] = [0, 1, 2].map((i) => check.input(NAME, inputs, i));
    check.dtype(NAME, "hidden", hidden!, ["f32"]);
    const [rows, width] = check.matrix(NAME, "hidden", hidden!);
    check.shape(NAME, "head", head!, [-1, width]);
    check.shape(NAME, "weights", weights!, [rows]);
    checkTarget(inputs.slice(3), rows, head!.shape[0]!);
    if (terms.length === 0) throw new ShapeError(NAME, "expected a loss, received none");
    const ids = { shape: [rows], dtype: "i32" } as const;
    const found = [{ shape: [1], dtype: "f32" }, ids, ids, { shape: [terms.length], dtype: "f32" }] as Spec[];
    if (!gradients) return found;
    return frozenHead ? [...found, hidden!] : [...found, hidden!, { shape: head!.shape, dtype: "f32" }];
  },
  compose(run, inputs, { terms = KL, gradients, frozenHead = false, blockRows }) {
    const [hidden, head, weights, target, targetHead] = inputs as [Tensor, Tensor, Tensor, Tensor, Tensor?];
    const backend = hidden.backend, rows = hidden.shape[0]!, vocabulary = head.shape[0]!;
    const step = blockRows ?? Math.max(16, Math.floor(BLOCK_BYTES / 4 / Math.max(vocabulary, 1)));
    const draftIds: Tensor[] = [], targetIds: Tensor[] = [], dhidden: Tensor[] = [];
    const losses: Tensor[][] = terms.map(() => []);
    const dhead = gradients && !frozenHead ? backend.zeros(head.shape) : null;
    for (let start = 0; start < rows; start += step) {
      const part = { axis: 0, start, end: Math.min(start + step, rows) };
      using scope = backend.scope();
      const block = slice(run, hidden, part), logits = linear(run, block, head);
      const wanted = slice(run, target, part);
      const targets = targetHead ? linear(run, wanted, targetHead) : pointMass(run, wanted, vocabulary);
      draftIds.push(scope.keep(argmax(run, logits)));
      targetIds.push(scope.keep(targetHead ? argmax(run, targets) : wanted));
      const shares = slice(run, weights, part);
      const found = terms.map((term) => termOf(run, [logits, targets, shares], term));
      found.forEach(([loss], i) => losses[i]!.push(scope.keep(loss)));
      if (!gradients) continue;
      const dlogits = found.map(([, d]) => d).reduce((all, d) => add(run, all, d));
      dhidden.push(scope.keep(matmul(run, dlogits, head)));
      if (dhead) matmulAdd(run, dlogits, block, dhead, { transA: true });
    }
    const join = (parts: Tensor[]) => concat(run, parts, 0);
    if (rows === 0) {
      draftIds.push(backend.zeros([0], "i32"));
      targetIds.push(backend.zeros([0], "i32"));
      dhidden.push(backend.zeros(hidden.shape));
    }
    const byTerm = losses.map((parts) => parts.length > 0 ? sum(run, join(parts)) : backend.zeros([1]));
    const found = [total(run, byTerm), join(draftIds), join(targetIds), join(byTerm)];
    if (!gradients) return found;
    return dhead ? [...found, join(dhidden), dhead] : [...found, join(dhidden)];
  },
  grad(run, { inputs, outputs, douts, attrs, needs }) {
    if (!attrs.gradients || (attrs.frozenHead && needs[1])) {
      const found = attrs.gradients ? "frozenHead: true and a head that wants one" : "gradients: false";
      throw new ShapeError(NAME, `expected gradients: true on a tape, received ${found}`);
    }
    const [d] = douts, [, , , , dhidden, dhead] = outputs;
    const rest = inputs.slice(2).map(() => null);
    if (!d) return [null, null, ...rest];
    return [needs[0] ? mul(run, dhidden!, d) : null, needs[1] ? mul(run, dhead!, d) : null, ...rest];
  },
};

/** A term's loss of each row and its gradient, the term's weight in both. */
function termOf(
  run: Run,
  [logits, targets, shares]: readonly [Tensor, Tensor, Tensor],
  { weight, rows }: WeightedLoss,
): readonly [loss: Tensor, dlogits: Tensor] {
  // `shares + (weight − 1) · shares`; a weight of 1 leaves the bits alone.
  const weighted = weight === 1 ? shares : add(run, shares, shares, { alpha: weight - 1 });
  const found = run(rows, [logits, targets, weighted], {}), [loss, dlogits] = found;
  const fits = loss?.dtype === "f32" && loss.shape.join() === shares.shape.join() &&
    dlogits?.dtype === "f32" && dlogits.shape.join() === logits.shape.join();
  if (fits) return [loss, dlogits];
  throw new ShapeError(
    rows.name,
    `expected f32[${shares.shape.join(", ")}] and f32[${logits.shape.join(", ")}] of a loss, received ${
      found.map(describe).join(" and ") || "nothing"
    }`,
  );
}

/** What {@linkcode linearLoss} compares. */
export interface LinearLossInputs {
  /** The draft's normed hidden states, f32 `[T, H]`. */
  readonly hidden: Tensor;
  /** The draft's head `[V, H]`. */
  readonly head: Tensor;
  /** Weight of each row in the loss, f32 `[T]`; rows of weight 0 only draft. */
  readonly weights: Tensor;
  /** What is to be drafted: the verifier's distribution, or tokens. */
  readonly goal: LossGoal;
}

/** The verifier's distribution as its normed last hidden states f32 `[T, G]` and a head `[V, G]`; or labels i32 `[T]`. */
export type LossGoal = { readonly states: Tensor; readonly head: Tensor } | { readonly labels: Tensor };

/** What {@linkcode linearLoss} finds. */
export interface LinearLossResult {
  /** f32 `[1]`. */
  readonly loss: Tensor;
  /** The draft's most likely token of each row (draft vocabulary), i32 `[T]`. */
  readonly draftIds: Tensor;
  /** The goal's, i32 `[T]`. */
  readonly targetIds: Tensor;
  /** Each term's part of the loss, f32 `[n]`. */
  readonly terms: Tensor;
}

/** Linear heads and losses, fused. */
export function linearLoss(run: Run, x: LinearLossInputs, attrs: LinearLossAttrs): LinearLossResult {
  const goal = "labels" in x.goal ? [x.goal.labels] : [x.goal.states, x.goal.head];
  const found = run(linearLossOp, [x.hidden, x.head, x.weights, ...goal], attrs);
  const [loss, draftIds, targetIds, terms] = found as [Tensor, Tensor, Tensor, Tensor];
  return { loss, draftIds, targetIds, terms };
}

/** An op with its attributes filled in: a loss with settings becomes one without. */
export function withAttrs<A extends object>(op: Op<A>, attrs: A): RowsOp {
  const { name, wgsl, wasm } = op;
  return {
    name,
    infer: (inputs) => op.infer(inputs, attrs),
    ...(wgsl ? { wgsl: (inputs, outputs, _attrs, limits) => wgsl(inputs, outputs, attrs, limits) } : {}),
    ...(wasm ? { wasm: (call, inputs, outputs) => wasm(call, inputs, outputs, attrs) } : {}),
  };
}

/** Sum of scalars `[1]`. */
export function total(run: Run, scalars: readonly Tensor[]): Tensor {
  return scalars.slice(1).reduce((all, one) => add(run, all, one), scalars[0]!);
}
