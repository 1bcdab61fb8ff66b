/** Sums and the argmax. */
import type { SumAttrs } from "../../../kernels/ops/reduce/mod.ts";
import { array } from "./array.ts";
import type { Reference } from "./types.ts";

/** The sum of all entries, or of their squares. */
export const sum: Reference<SumAttrs> = ([x], { square = false }) => [
  array([1], [x!.data.reduce((all, value) => all + (square ? value * value : value), 0)]),
];

/** Column sums. */
export const sumRows: Reference = ([x]) => {
  const width = x!.shape.at(-1) ?? 1, out = array([width]);
  x!.data.forEach((value, i) => out.data[i % width]! += value);
  return [out];
};

/** The lowest index of a row's largest entry. */
export const argmax: Reference = ([x]) => {
  const [rows, width] = [x!.shape[0]!, x!.shape[1]!];
  const out = array([rows], undefined, "i32");
  for (let t = 0; t < rows; t++) {
    const row = x!.data.subarray(t * width, (t + 1) * width);
    out.data[t] = Math.max(0, row.indexOf(row.reduce((a, b) => Math.max(a, b), -Infinity)));
  }
  return [out];
};
