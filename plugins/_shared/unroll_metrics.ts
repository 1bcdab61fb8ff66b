/** Metrics of an unrolled batch, from what the device found. */
import type { LossTerm } from "../../core/plugin.ts";
import type { Tensor, TypedArray } from "../../core/tensor.ts";
import type { LinearLossResult } from "../../kernels/ops/mod.ts";

/** What the outputs are of. */
export interface UnrolledBatch {
  /** `[T]`: 1 where the token is trained on. */
  readonly lossMask: Uint8Array;
  /** Rows that drafted, ascending: all that have 1 in the mask, at least. */
  readonly rows: Int32Array;
  /** Steps. */
  readonly steps: number;
  /** `[T]`: the document of each row, where a target beyond the end of a row's own document is to be none. */
  readonly documents?: Int32Array;
  /** What the loss adds up from; metrics tell the terms of a sum apart. */
  readonly terms?: readonly LossTerm[];
}

/** What a step leaves for {@linkcode unrolledMetrics}. */
export function stepOutputs(step: number, found: LinearLossResult): Record<string, Tensor> {
  return {
    [`loss_${step}`]: found.loss,
    [`draft_${step}`]: found.draftIds,
    [`target_${step}`]: found.targetIds,
    [`terms_${step}`]: found.terms,
  };
}

/** Keeps a denominator from being zero; as in the Python system. */
export const DENOMINATOR_EPS = 1e-5;

/** Rows of the mask from `step` on that are set: those that have a target at this step. */
export function masked(lossMask: Uint8Array, step: number, documents?: Int32Array): number {
  let sum = 0;
  for (let t = step; t < lossMask.length; t++) {
    if (!documents || documents[t] === documents[t - step]) sum += lossMask[t]!;
  }
  return sum;
}

/**
 * The weight of each row in the loss of a step: its share of the mean over the rows that have a target, times `factor`;
 * 0 for a row that has none.
 */
export function rowWeights(
  { lossMask, rows, documents }: Omit<UnrolledBatch, "steps" | "terms">,
  { step, factor }: { readonly step: number; readonly factor: number },
): Float32Array {
  const share = factor / (masked(lossMask, step, documents) + DENOMINATOR_EPS);
  return Float32Array.from(rows, (row) => {
    const within = !documents || documents[row] === documents[row + step];
    return within && lossMask[row + step] === 1 ? share : 0;
  });
}

/**
 * `loss_i` (after decay), `full_acc_i` (right so far, of all targets) and `cond_acc_i` (right, of the rows right until
 * then), and `loss`, from `loss`, `loss_i`, `draft_i` and `target_i`. Of a loss with several terms also `NAME_loss_i`,
 * each without its weight, from `terms_i`.
 *
 * A row counts as right at a step only if it was at all steps before, whether or not those had a target; it counts in
 * the sums where the row that its target is at is in the mask.
 *
 * source: speculators v0.4.0.1, `models/eagle3/core.py` (`compute_accuracy`, `align_for_step`)
 */
export function unrolledMetrics(
  { lossMask, rows, steps, documents, terms = [] }: UnrolledBatch,
  outputs: Readonly<Record<string, TypedArray>>,
): Record<string, number> {
  const metrics: Record<string, number> = {};
  const right = Uint8Array.from(rows, (row) => lossMask[row]!);
  for (let step = 0; step < steps; step++) {
    const drafts = outputs[`draft_${step}`]!, targets = outputs[`target_${step}`]!;
    let before = 0, counted = 0;
    for (const [i, row] of rows.entries()) {
      if (row + step >= lossMask.length) break;
      if (documents && documents[row] !== documents[row + step]) continue;
      before += right[i]!;
      if (drafts[i] !== targets[i]) right[i] = 0;
      if (lossMask[row + step] === 1) counted += right[i]!;
    }
    metrics[`loss_${step}`] = outputs[`loss_${step}`]![0]!;
    if (terms.length > 1) {
      for (const [i, { name, weight }] of terms.entries()) {
        if (weight !== 0) metrics[`${name}_loss_${step}`] = outputs[`terms_${step}`]![i]! / weight;
      }
    }
    metrics[`full_acc_${step}`] = counted / (masked(lossMask, step, documents) + DENOMINATOR_EPS);
    metrics[`cond_acc_${step}`] = counted / (before + DENOMINATOR_EPS);
  }
  metrics["loss"] = outputs["loss"]![0]!;
  return metrics;
}
