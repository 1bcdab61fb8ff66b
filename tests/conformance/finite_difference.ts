/** Slopes of a reference, to hold gradients against. */
import type { HostArray } from "./reference/array.ts";
import { gauss, type Random } from "./random.ts";

/** Step of the central difference, in doubles: the error is about 1e-10 of the function's scale. */
const STEP = 1e-5;

/** Entries looked at one by one; besides them, all at once along random directions. */
const ENTRIES = 6;

/** What a comparison works on. */
export interface SlopeCheck {
  /** The loss as a function of the inputs. */
  readonly loss: (inputs: readonly HostArray[]) => number;
  /** Where. */
  readonly inputs: readonly HostArray[];
  /** Which inputs move together: one index, or those that are the same tensor. */
  readonly moved: readonly number[];
  /** The gradient to check. */
  readonly gradient: Float64Array;
  /** Share of the gradient's size that it may be off. */
  readonly tolerance: number;
}

/** What is wrong with a gradient, in words; `null` if nothing is. */
export function slopeDifference(check: SlopeCheck, random: Random): string | null {
  const { gradient, tolerance } = check, count = gradient.length;
  const largest = gradient.reduce((top, x) => Math.max(top, Math.abs(x)), 0);
  if (!Number.isFinite(largest) || gradient.some(Number.isNaN)) return "the gradient is not finite";
  const norm = Math.sqrt(gradient.reduce((sum, x) => sum + x * x, 0));
  for (let pass = 0; count > 0 && pass < 2; pass++) {
    const direction = Float64Array.from({ length: count }, () => gauss(random));
    const found = gradient.reduce((sum, x, i) => sum + x * direction[i]!, 0),
      expected = slope(check, direction);
    if (!(Math.abs(found - expected) <= tolerance * norm + 1e-8)) {
      return `along a random direction: expected ${expected}, received ${found}`;
    }
  }
  const all = count <= 2 * ENTRIES;
  for (let pass = 0; pass < (all ? count : ENTRIES); pass++) {
    const at = all ? pass : Math.floor(random() * count);
    const expected = slope(check, Float64Array.from({ length: count }, (_, i) => i === at ? 1 : 0));
    if (!(Math.abs(gradient[at]! - expected) <= tolerance * largest + 1e-8)) {
      return `at entry ${at}: expected ${expected}, received ${gradient[at]}`;
    }
  }
  return null;
}

function slope({ loss, inputs, moved }: SlopeCheck, direction: Float64Array): number {
  const at = (step: number) =>
    loss(
      inputs.map((input, i) =>
        moved.includes(i) ? { ...input, data: input.data.map((x, j) => x + step * direction[j]!) } : input
      ),
    );
  return (at(STEP) - at(-STEP)) / (2 * STEP);
}
