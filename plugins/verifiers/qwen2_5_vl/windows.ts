/** Windows of the tower: squares of rows, cut at the frame's edges. */
import type { ImagePatches } from "../../../core/plugin.ts";

/** Rows of the language model, window by window. */
export interface Windows {
  /** Where each row is in the frame's own order. */
  readonly order: Int32Array;
  /** Rows of each window. */
  readonly lengths: readonly number[];
}

/**
 * Puts the rows of a grid into windows.
 *
 * @param sizes `merge`: patches along a row's sides; `window`: rows along a window's sides
 */
export function windowsOf(
  [t, h, w]: ImagePatches["grid"],
  { merge, window }: { readonly merge: number; readonly window: number },
): Windows {
  const down = h / merge,
    across = w / merge,
    order = new Int32Array(t * down * across),
    lengths: number[] = [];
  let next = 0;
  for (let frame = 0; frame < t; frame++) {
    for (let top = 0; top < down; top += window) {
      for (let left = 0; left < across; left += window) {
        const first = next;
        for (let y = top; y < Math.min(top + window, down); y++) {
          for (let x = left; x < Math.min(left + window, across); x++) {
            order[next++] = (frame * down + y) * across + x;
          }
        }
        lengths.push(next - first);
      }
    }
  }
  return { order, lengths };
}
