/** Clipping and AdamW, one parameter at a time. */
import type { AdamwAttrs, ClipScaleAttrs } from "../../../kernels/ops/optimizer/mod.ts";
import { array } from "./array.ts";
import type { Reference } from "./types.ts";

/** The factor that clips, and the norm. */
export const clipScale: Reference<ClipScaleAttrs> = ([squares], { maxNorm }) => {
  const norm = Math.sqrt(squares!.data.reduce((a, b) => a + b, 0));
  return [array([1], [Math.min(1, maxNorm / (norm + 1e-6))]), array([1], [norm])];
};

/** Parameter and moments after one step. */
export const adamw: Reference<AdamwAttrs> = ([p, m, v, g, factor], attrs) => {
  const { lr, beta1, beta2, eps, weightDecay, step } = attrs;
  const [p1, m1, v1] = [p!, m!, v!].map((x) => array(x.shape, x.data));
  for (let i = 0; i < p!.data.length; i++) {
    const gradient = g!.data[i]! * factor!.data[0]!;
    const first = beta1 * m!.data[i]! + (1 - beta1) * gradient;
    const second = beta2 * v!.data[i]! + (1 - beta2) * gradient * gradient;
    const mean = first / (1 - beta1 ** step), root = Math.sqrt(second / (1 - beta2 ** step));
    m1!.data[i] = first;
    v1!.data[i] = second;
    p1!.data[i] = p!.data[i]! * (1 - lr * weightDecay) - lr * mean / (root + eps);
  }
  return [p1!, m1!, v1!];
};
