/** Metrics of an unrolled batch, from what the device found. */
import type { TypedArray } from "../../core/tensor.ts";

/** What the outputs are of. */
export interface UnrolledBatch {
  /** `[T]`: 1 where the token is trained on. */
  readonly lossMask: Uint8Array;
  /** Rows that drafted, ascending: all that have 1 in the mask, at least. */
  readonly rows: Int32Array;
  /** Steps. */
  readonly steps: number;
}

/** Keeps a denominator from being zero; as in the Python system. */
export const DENOMINATOR_EPS = 1e-5;

/** Rows of the mask from `step` on that are set: those that have a target at this step. */
export function masked(lossMask: Uint8Array, step: number): number {
  let sum = 0;
  for (let t = step; t < lossMask.length; t++) sum += lossMask[t]!;
  return sum;
}

/**
 * `loss_i` (after decay), `full_acc_i` (right so far, of all targets) and `cond_acc_i` (right, of the rows right until
 * then), and `loss`, from `loss`, `loss_i`, `draft_i` and `target_i`.
 *
 * A row counts as right at a step only if it was at all steps before, whether or not those had a target; it counts in
 * the sums where the row that its target is at is in the mask.
 *
 * source: speculators v0.4.0.1, `models/eagle3/core.py` (`compute_accuracy`, `align_for_step`)
 */
export function unrolledMetrics(
  { lossMask, rows, steps }: UnrolledBatch,
  outputs: Readonly<Record<string, TypedArray>>,
): Record<string, number> {
  const metrics: Record<string, number> = {};
  const right = Uint8Array.from(rows, (row) => lossMask[row]!);
  for (let step = 0; step < steps; step++) {
    const drafts = outputs[`draft_${step}`]!, targets = outputs[`target_${step}`]!;
    let before = 0, counted = 0;
    for (const [i, row] of rows.entries()) {
      if (row + step >= lossMask.length) break;
      before += right[i]!;
      if (drafts[i] !== targets[i]) right[i] = 0;
      if (lossMask[row + step] === 1) counted += right[i]!;
    }
    metrics[`loss_${step}`] = outputs[`loss_${step}`]![0]!;
    metrics[`full_acc_${step}`] = counted / (masked(lossMask, step) + DENOMINATOR_EPS);
    metrics[`cond_acc_${step}`] = counted / (before + DENOMINATOR_EPS);
  }
  metrics["loss"] = outputs["loss"]![0]!;
  return metrics;
}
