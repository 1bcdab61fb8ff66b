/** RMSNorm and rotary positions. */
import type { RmsnormAttrs } from "../../../kernels/ops/rmsnorm/mod.ts";
import type { RopeAttrs } from "../../../kernels/ops/rope/mod.ts";
import { array } from "./array.ts";
import type { Reference } from "./types.ts";

/** `weight · x / sqrt(mean(x²) + eps)` over each run of the weight's length. */
export const rmsnorm: Reference<RmsnormAttrs> = ([x, weight], { eps }) => {
  const n = weight!.shape[0]!, out = array(x!.shape);
  for (let start = 0; start < x!.data.length; start += n) {
    const run = x!.data.subarray(start, start + n);
    const scale = 1 / Math.sqrt(run.reduce((sum, value) => sum + value * value, 0) / n + eps);
    run.forEach((value, j) => out.data[start + j] = weight!.data[j]! * value * scale);
  }
  return [out];
};

/** Gradients of {@linkcode rmsnorm}. */
export const rmsnormGrad: Reference<RmsnormAttrs> = ([x, weight, dout], { eps }) => {
  const n = weight!.shape[0]!, dx = array(x!.shape), dweight = array([n]);
  for (let start = 0; start < x!.data.length; start += n) {
    let squares = 0, dot = 0;
    for (let j = 0; j < n; j++) {
      const value = x!.data[start + j]!;
      squares += value * value;
      dot += value * weight!.data[j]! * dout!.data[start + j]!;
    }
    const r = 1 / Math.sqrt(squares / n + eps);
    for (let j = 0; j < n; j++) {
      const value = x!.data[start + j]!, d = dout!.data[start + j]!;
      dx.data[start + j] = r * weight!.data[j]! * d - r ** 3 * value * dot / n;
      dweight.data[j]! += d * value * r;
    }
  }
  return [dx, dweight];
};

/** Each head turned by its row's position. */
export const rope: Reference<RopeAttrs> = ([x, cos, sin, positions], { headDim, inverse = false }) => {
  const half = headDim / 2, width = x!.shape[1]!, out = array(x!.shape);
  positions!.data.forEach((position, t) => {
    for (let head = 0; head < width; head += headDim) {
      for (let j = 0; j < half; j++) {
        const low = t * width + head + j, high = low + half;
        const c = cos!.data[position * half + j]!, s = sin!.data[position * half + j]! * (inverse ? -1 : 1);
        out.data[low] = x!.data[low]! * c - x!.data[high]! * s;
        out.data[high] = x!.data[high]! * c + x!.data[low]! * s;
      }
    }
  });
  return [out];
};
