/** Metrics of drafts that are trained at several places behind each row, from what the device found. */
import type { LossTerm } from "../../core/plugin.ts";
import type { TypedArray } from "../../core/tensor.ts";
import { DENOMINATOR_EPS } from "./unroll_metrics.ts";

/** Which rows have a target at each place. */
export interface TrainedPlaces {
  /** Numbers of rows, ascending, by place. */
  readonly places: readonly (readonly number[])[];
  /** What the loss adds up from; metrics tell the terms of a sum apart. */
  readonly terms?: readonly LossTerm[];
}

/** How many rows were right at a place, and of how many. */
export interface PlaceCount {
  /** Rows whose token was the target. */
  readonly right: number;
  /** Rows that have a target. */
  readonly targets: number;
}

/** How often each place was right by itself, from `draft_k` and `target_k`. */
export function placeCounts(
  { places }: TrainedPlaces,
  outputs: Readonly<Record<string, TypedArray>>,
): PlaceCount[] {
  return places.map((rows, k) => {
    const drafts = outputs[`draft_${k}`]!, wanted = outputs[`target_${k}`]!;
    return { right: rows.filter((_, i) => drafts[i] === wanted[i]).length, targets: rows.length };
  });
}

/**
 * From `loss`, `loss_k`, `draft_k` and `target_k`: `loss` and `loss_k` (weighted as in the sum); `full_acc_k`: right at all
 * places up to k, of the targets at k; `cond_acc_k`: of the rows right at all places before. Of a loss with several terms
 * also `NAME_loss_k`, each without its weight, from `terms_k`.
 */
export function placeMetrics(
  { places, terms = [] }: TrainedPlaces,
  outputs: Readonly<Record<string, TypedArray>>,
): Record<string, number> {
  const metrics: Record<string, number> = { loss: outputs["loss"]![0]! };
  let whole = new Set(places[0]);
  for (const [k, rows] of places.entries()) {
    const drafts = outputs[`draft_${k}`]!, wanted = outputs[`target_${k}`]!;
    const before = rows.filter((row) => whole.has(row)).length;
    whole = new Set(rows.filter((row, i) => drafts[i] === wanted[i] && whole.has(row)));
    metrics[`loss_${k}`] = outputs[`loss_${k}`]![0]!;
    if (terms.length > 1) {
      for (const [i, { name, weight }] of terms.entries()) {
        if (weight !== 0) metrics[`${name}_loss_${k}`] = outputs[`terms_${k}`]![i]! / weight;
      }
    }
    metrics[`full_acc_${k}`] = whole.size / (rows.length + DENOMINATOR_EPS);
    metrics[`cond_acc_${k}`] = whole.size / (before + DENOMINATOR_EPS);
  }
  return metrics;
}
