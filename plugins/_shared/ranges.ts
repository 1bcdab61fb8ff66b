/** Which keys a query may see, as attention takes it: a first key and one past the last, for each query. */

/** Ranges and positions of documents laid one after the other. */
export interface Packing {
  /** i32 `[T, 2]`. */
  readonly ranges: Int32Array;
  /** i32 `[T]`: position of each row in its document. */
  readonly positions: Int32Array;
}

/** Documents in one pass: a row sees the rows of its own document up to itself. */
export function packedRanges(lengths: readonly number[]): Packing {
  const rows = lengths.reduce((sum, n) => sum + n, 0);
  const ranges = new Int32Array(2 * rows), positions = new Int32Array(rows);
  let start = 0;
  for (const length of lengths) {
    for (let i = 0; i < length; i++) {
      ranges[2 * (start + i)] = start;
      ranges[2 * (start + i) + 1] = start + i + 1;
      positions[start + i] = i;
    }
    start += length;
  }
  return { ranges, positions };
}

/** The same ranges in a layer that sees only the last `window` keys, a row's own among them. */
export function windowed(ranges: Int32Array, window: number): Int32Array {
  return ranges.map((first, i) => i % 2 === 0 ? Math.max(first, ranges[i + 1]! - window) : first);
}
