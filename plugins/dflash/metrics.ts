/** Metrics of trained blocks. */
import type { TypedArray } from "../../core/tensor.ts";
import { placeCounts, placeMetrics, type TrainedPlaces } from "../_shared/place_metrics.ts";

/** Which blocks have a target, for each place that gives a token. */
export interface TrainedBlocks extends TrainedPlaces {
  /** The first place that gives a token. */
  readonly first: number;
}

/**
 * Those of {@linkcode placeMetrics}, and as the Python system names them `position_p_acc`: right at place p of the block,
 * `full_acc`: at all places together, and `eal`: the length that would be accepted were places independent.
 *
 * source: speculators v0.7.0.1, `models/dflash/metrics.py`
 */
export function blockMetrics(
  blocks: TrainedBlocks,
  outputs: Readonly<Record<string, TypedArray>>,
): Record<string, number> {
  const metrics = placeMetrics(blocks, outputs), counts = placeCounts(blocks, outputs);
  let product = 1, length = 0;
  for (const [k, { right, targets }] of counts.entries()) {
    product *= right / Math.max(targets, 1);
    length += product;
    metrics[`position_${blocks.first + k}_acc`] = right / Math.max(targets, 1);
  }
  const sum = (part: "right" | "targets") => counts.reduce((all, count) => all + count[part], 0);
  return { ...metrics, full_acc: sum("right") / Math.max(sum("targets"), 1), eal: length };
}
