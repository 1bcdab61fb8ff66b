/**
 * Which samples are trained on and which are held out.
 *
 * @module
 */
import { PythonRandom } from "./random.ts";

/** How samples are split. */
export interface SplitOptions {
  /** Share that is trained on; 0.9 unless given. */
  readonly ratio?: number;
  /** Seed of the shuffle; 0 unless given, as upstream always has it. */
  readonly seed?: number;
}

/**
 * Shuffles and splits: the first `⌊n · ratio⌋` are trained on. The order given is the order shuffled, so give it
 * sorted: upstream takes the file system's order, which no two machines share.
 *
 * source: speculators v0.4.0.1, `train/data.py` (`split_files`)
 */
export function splitSamples<T>(
  items: readonly T[],
  options: SplitOptions = {},
): { train: T[]; validation: T[] } {
  const { ratio = 0.9, seed = 0 } = options;
  const shuffled = [...items];
  new PythonRandom(seed).shuffle(shuffled);
  const count = Math.trunc(items.length * ratio);
  return { train: shuffled.slice(0, count), validation: shuffled.slice(count) };
}
