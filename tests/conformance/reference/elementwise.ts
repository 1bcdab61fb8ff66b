/** Entry by entry. */
import type { AddAttrs, CastAttrs, ExpandAttrs } from "../../../kernels/ops/elementwise/mod.ts";
import { array, type HostArray, round } from "./array.ts";
import type { Reference } from "./types.ts";

/** The entry of `b` that meets entry i of `a`: the shapes are equal, or `b` is a row, or one number. */
function partner(a: HostArray, b: HostArray): (i: number) => number {
  const same = a.shape.join() === b.shape.join(), width = b.shape[0] ?? 1;
  const row = b.shape.length === 1 && width === a.shape.at(-1);
  return (i) => b.data[same ? i : row ? i % width : 0]!;
}

/** `a + alpha · b`. */
export const add: Reference<AddAttrs> = ([a, b], { alpha = 1 }) => {
  const other = partner(a!, b!);
  return [array(a!.shape, a!.data.map((x, i) => x + alpha * other(i)))];
};

/** `a · b`. */
export const mul: Reference = ([a, b]) => {
  const other = partner(a!, b!);
  return [array(a!.shape, a!.data.map((x, i) => x * other(i)))];
};

/** One number everywhere. */
export const expand: Reference<ExpandAttrs> = ([x], { shape }) => {
  const out = array(shape);
  out.data.fill(x!.data[0]!);
  return [out];
};

/** Rounded to a dtype; to f32 left smooth, since whatever is cast is an f32 already. */
export const cast: Reference<CastAttrs> = ([x], { dtype }) => [
  array(x!.shape, dtype === "f32" ? x!.data : x!.data.map((value) => round(value, dtype)), dtype),
];

/** `silu(gate) · up`. */
export const swiglu: Reference = ([gate, up]) => [
  array(gate!.shape, gate!.data.map((x, i) => x * sigmoid(x) * up!.data[i]!)),
];

/** Gradients of {@linkcode swiglu}. */
export const swigluGrad: Reference = ([gate, up, dout]) => {
  const dgate = gate!.data.map((x, i) => {
    const s = sigmoid(x);
    return dout!.data[i]! * up!.data[i]! * (s + x * s * (1 - s));
  });
  const dup = gate!.data.map((x, i) => dout!.data[i]! * x * sigmoid(x));
  return [array(gate!.shape, dgate), array(gate!.shape, dup)];
};

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
