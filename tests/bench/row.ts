/** A line of the benchmark: our figure beside a peer's of the same run. */
export interface Row {
  /** What is measured. */
  readonly name: string;
  /** Ours. */
  readonly ours: number;
  /** The peer's, or the figure to be met; NaN where the peer is not there. */
  readonly peer: number;
  /** Unit of both. */
  readonly unit: string;
  /** How many times better ours is: above 1 is better, whatever the unit. */
  readonly ratio: number;
  /** Who the peer is. */
  readonly against: string;
}

/** A row where more is better (a rate), or less (a time, a size). */
export function row(
  name: string,
  figures: Omit<Row, "name" | "ratio"> & { readonly less?: boolean },
): Row {
  const { ours, peer, unit, against, less = false } = figures;
  return { name, ours, peer, unit, against, ratio: less ? peer / ours : ours / peer };
}

/** The middle of some numbers. */
export function median(values: readonly number[]): number {
  const order = [...values].sort((a, b) => a - b), half = order.length >> 1;
  return order.length % 2 === 1 ? order[half]! : (order[half - 1]! + order[half]!) / 2;
}
