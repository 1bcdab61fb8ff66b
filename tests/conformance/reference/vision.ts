/** LayerNorm and GELU. */
import type { GeluAttrs } from "../../../kernels/ops/gelu/mod.ts";
import type { LayernormAttrs } from "../../../kernels/ops/layernorm/mod.ts";
import { array } from "./array.ts";
import type { Reference } from "./types.ts";

/** `weight · (x − mean) / sqrt(variance + eps) + bias` for each row. */
export const layernorm: Reference<LayernormAttrs> = ([x, weight, bias], { eps }) => {
  const n = weight!.shape[0]!, out = array(x!.shape);
  for (let start = 0; start < x!.data.length; start += n) {
    const row = x!.data.subarray(start, start + n), mean = row.reduce((sum, v) => sum + v, 0) / n;
    const root = Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / n + eps);
    row.forEach((v, i) => out.data[start + i] = weight!.data[i]! * (v - mean) / root + bias!.data[i]!);
  }
  return [out];
};

/** The integral of the normal density from −∞ to x: its Taylor series near 0, a continued fraction far from it. */
function normal(x: number): number {
  const density = Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI), size = Math.abs(x);
  if (size > 5) {
    let tail = size;
    for (let k = 60; k > 0; k--) tail = size + k / tail;
    return x > 0 ? 1 - density / tail : density / tail;
  }
  let sum = 0, term = x;
  for (let k = 1; k < 200; k++) {
    sum += term;
    term *= x * x / (2 * k + 1);
  }
  return 0.5 + density * sum;
}

/** `x · Φ(x)`, or its form with tanh. */
export const gelu: Reference<GeluAttrs> = ([x], { tanh = false }) => {
  const rough = (v: number) => (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))) / 2;
  return [array(x!.shape, x!.data.map((v) => v * (tanh ? rough(v) : normal(v))))];
};
