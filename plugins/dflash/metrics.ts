/** Metrics of trained blocks, from what the device found. */
import type { LossTerm } from "../../core/plugin.ts";
import type { TypedArray } from "../../core/tensor.ts";
import { DENOMINATOR_EPS } from "../_shared/unroll_metrics.ts";

/** Which blocks have a target, for each place that gives a token; ascending. */
export interface TrainedBlocks {
  /** Numbers of blocks by place. */
  readonly places: readonly (readonly number[])[];
  /** The first place that gives a token. */
  readonly first: number;
  /** What the loss adds up from; metrics tell the terms of a sum apart. */
  readonly terms?: readonly LossTerm[];
}

/**
 * From `loss`, `loss_k`, `draft_k` and `target_k`, k from 0 at the first place that gives a token:
 *
 * - `loss_k` (after decay) and `loss`; of a loss with several terms also `NAME_loss_k`, each without its weight, from
 *   `terms_k`;
 * - `full_acc_k`: right at all places up to k, of the targets at k; `cond_acc_k`: of the blocks right at all places before;
 * - `position_p_acc`: right at place p of the block, `full_acc`: at all places together, and `eal`, the length that would be
 *   accepted were places independent, as the Python system names them.
 *
 * source: speculators v0.7.0.1, `models/dflash/metrics.py`
 */
export function blockMetrics(
  { places, first, terms = [] }: TrainedBlocks,
  outputs: Readonly<Record<string, TypedArray>>,
): Record<string, number> {
  const metrics: Record<string, number> = { loss: outputs["loss"]![0]! };
  let right = 0, targets = 0, product = 1, length = 0;
  let whole = new Set(places[0]);
  for (const [k, blocks] of places.entries()) {
    const drafts = outputs[`draft_${k}`]!, wanted = outputs[`target_${k}`]!;
    const good = blocks.filter((_, i) => drafts[i] === wanted[i]);
    const before = blocks.filter((block) => whole.has(block)).length;
    whole = new Set(good.filter((block) => whole.has(block)));
    const accuracy = good.length / Math.max(blocks.length, 1);
    right += good.length;
    targets += blocks.length;
    product *= accuracy;
    length += product;
    metrics[`loss_${k}`] = outputs[`loss_${k}`]![0]!;
    if (terms.length > 1) {
      for (const [i, { name, weight }] of terms.entries()) {
        if (weight !== 0) metrics[`${name}_loss_${k}`] = outputs[`terms_${k}`]![i]! / weight;
      }
    }
    metrics[`full_acc_${k}`] = whole.size / (blocks.length + DENOMINATOR_EPS);
    metrics[`cond_acc_${k}`] = whole.size / (before + DENOMINATOR_EPS);
    metrics[`position_${first + k}_acc`] = accuracy;
  }
  metrics["full_acc"] = right / Math.max(targets, 1);
  metrics["eal"] = length;
  return metrics;
}
