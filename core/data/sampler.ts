/**
 * Multipack: batches of whole samples, filled close to a token budget and balanced over the ranks of a distributed
 * run.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { numpyPermutation } from "./random.ts";

/** What the sampler goes by. */
export interface MultipackOptions {
  /** Tokens of a batch, per rank. */
  readonly maxLength: number;
  /** Ranks that train together; 1 unless given. */
  readonly ranks?: number;
  /** Seed of the order; 0 unless given, as upstream always has it. */
  readonly seed?: number;
  /** Counted from 0: each has its own order. */
  readonly epoch?: number;
  /** Keep samples longer than `maxLength`, to be cut; true unless given. Otherwise they are left out. */
  readonly truncateLongSamples?: boolean;
}

/**
 * The batches of an epoch: `result[rank][step]` lists indices into `lengths`. All ranks have the same number of
 * steps; samples left over at the end that do not fill every rank are dropped.
 *
 * source: speculators v0.4.0.1, `train/distributed_batch_sampler.py` (`MultipackDistributedBatchSamplerV2`), with a
 * stable sort where numpy's order of equal lengths depends on the machine
 *
 * @throws {ConfigError} when an option is no positive integer
 */
export function multipackBatches(lengths: readonly number[], options: MultipackOptions): number[][][] {
  const { maxLength, ranks = 1, seed = 0, epoch = 0, truncateLongSamples = true } = options;
  checkPositive("max_length", maxLength);
  checkPositive("ranks", ranks);
  const valid = lengths.map((_, i) => i)
    .filter((i) => truncateLongSamples || lengths[i]! <= maxLength);
  const order = [...numpyPermutation(valid.length, seed + epoch)].map((i) => valid[i]!);
  const sizes = order.map((i) => Math.min(lengths[i]!, maxLength));
  const sums: number[] = [];
  for (let i = 0, sum = 0; i < sizes.length; i++) sums.push(sum += sizes[i]!);

  const result: number[][][] = Array.from({ length: ranks }, () => []);
  let begin = 0;
  let sofar = 0;
  while (sizes.length - begin >= ranks) {
    // Packing is not monotonic in the number of samples: another search would find other batches.
    let left = 1;
    let right = 1 + countAtMost(sums, begin, sofar + maxLength * ranks);
    while (right - left > 1 && right > ranks) {
      const middle = (left + right) >> 1;
      if (pack(sizes.slice(begin, begin + middle), ranks, maxLength) !== null) left = middle;
      else right = middle;
    }
    const bins = pack(sizes.slice(begin, begin + left), ranks, maxLength);
    // One sample never exceeds the budget, so this packs whatever was searched for.
    for (const [rank, bin] of (bins ?? []).entries()) result[rank]!.push(bin.map((i) => order[begin + i]!));
    begin += left;
    sofar = sums[begin - 1]!;
  }
  return result;
}

/** Longest first, each into the emptiest bin; `null` when one does not fit. Bins list indices into `sizes`. */
function pack(sizes: readonly number[], ranks: number, maxLength: number): number[][] | null {
  const bins: number[][] = Array.from({ length: ranks }, () => []);
  const fill = new Array<number>(ranks).fill(0);
  // Sorted upwards (stable), then reversed: of equal lengths the later comes first.
  const order = sizes.map((_, i) => i).sort((a, b) => sizes[a]! - sizes[b]!).reverse();
  for (const i of order) {
    let emptiest = 0;
    for (let r = 1; r < ranks; r++) if (fill[r]! < fill[emptiest]!) emptiest = r;
    if (fill[emptiest]! + sizes[i]! > maxLength) return null;
    fill[emptiest]! += sizes[i]!;
    bins[emptiest]!.push(i);
  }
  return bins;
}

/** How many of `sums[begin…]`, which ascend, are at most `limit`. */
function countAtMost(sums: readonly number[], begin: number, limit: number): number {
  let low = begin;
  let high = sums.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle]! <= limit) low = middle + 1;
    else high = middle;
  }
  return low - begin;
}

function checkPositive(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new ConfigError(name, `expected a positive integer, received ${value}`);
  }
}
