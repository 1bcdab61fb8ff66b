/** Comparing what was computed with what was expected. */
import { describe } from "../../core/tensor.ts";
import type { HostArray } from "./reference/array.ts";
import type { Tolerance } from "./op_cases.ts";

/** Entries beyond this stand for "nothing there" (a log-sum-exp of no key); they set no scale for the others. */
const SENTINEL = 1e20;

function scaleOf(data: Float64Array): number {
  return data.reduce((top, x) => Math.abs(x) < SENTINEL ? Math.max(top, Math.abs(x)) : top, 0);
}

/** What differs, in words; `null` if nothing does. */
export function difference(
  got: HostArray,
  expected: HostArray,
  { entry = 0, largest = 0, absolute = 0 }: Tolerance,
): string | null {
  if (describe(got) !== describe(expected)) {
    return `expected ${describe(expected)}, received ${describe(got)}`;
  }
  const exact = expected.dtype !== "f32", scale = exact ? 0 : absolute + largest * scaleOf(expected.data);
  let worst = -1, excess = 0, count = 0;
  expected.data.forEach((want, i) => {
    const found = got.data[i]!;
    if (Object.is(found, want) || found === want) return;
    const relative = exact ? 0 : Math.abs(want) >= SENTINEL ? 1e-6 : entry;
    const over = Math.abs(found - want) - (scale + relative * Math.abs(want));
    if (over <= 0) return; // a NaN on one side only is never ≤ 0
    count++;
    if (worst < 0 || over > excess || Number.isNaN(over)) [worst, excess] = [i, over];
  });
  if (worst < 0) return null;
  const allowed = (scale + entry * Math.abs(expected.data[worst]!)).toExponential(2);
  return `${count} of ${expected.data.length} entries of ${describe(expected)} differ, worst at ${worst}: ` +
    `expected ${expected.data[worst]}, received ${got.data[worst]} (allowed ${allowed})`;
}
