/** Which samples are worked together. */

/**
 * Groups of samples whose lengths sum to at most `budget`: longest first, each group filled with the next ones that come
 * by length. A sample longer than the budget is a group of its own.
 *
 * @returns indices into `lengths`; every one exactly once
 */
export function tokenBatches(lengths: readonly number[], budget: number): number[][] {
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const batches: number[][] = [];
  let room = -1;
  for (const index of order) {
    const length = lengths[index]!;
    if (length > room || batches.length === 0) {
      batches.push([]);
      room = budget;
    }
    batches.at(-1)!.push(index);
    room -= length;
  }
  return batches;
}
