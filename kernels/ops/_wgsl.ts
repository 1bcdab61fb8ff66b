/** What the kernels' generators share: grids, windows of large tensors, loads of packed dtypes. */
import {
  BLOCK,
  BYTES,
  type DType,
  isBlocks,
  type Shape,
  type WgslBinding,
  type WgslParam,
} from "../../core/tensor.ts";
import { blockSingles } from "./_blocks.ts";

/** Most bytes of a binding when some are left for a window over blocks that begins a little earlier. */
export function bindingOf(dtype: DType, maxBinding: number): number {
  return isBlocks(dtype) ? Math.max(1, maxBinding - unit(BYTES[dtype])) : maxBinding;
}

/** Invocations of a workgroup in kernels with one invocation per element. */
export const GROUP = 256;

/** A grid of `groups` workgroups folded into two axes; kernels read their number as `w.y * n.x + w.x`. */
export function fold(groups: number): [number, number, number] {
  const width = Math.min(groups, 65535);
  return [width, width === 0 ? 0 : Math.ceil(groups / width), 1];
}

/** A folded grid with an invocation for each of `count` elements. */
export function perElement(count: number): [number, number, number] {
  return fold(Math.ceil(count / GROUP));
}

/** An unsigned parameter. */
export function u32(value: number): WgslParam {
  return { u32: value };
}

/** A float parameter. */
export function f32(value: number): WgslParam {
  return { f32: value };
}

/** A part of a tensor as a binding may cover it. */
export interface Window {
  /** Where the binding begins: a multiple of 256 bytes, and the beginning of an element. */
  readonly offset: number;
  /** Bytes bound. */
  readonly size: number;
  /** Elements between the binding's beginning and the part's. */
  readonly shift: number;
}

/** Bytes from one place that a binding may begin at, and that is a whole element or block, to the next. */
function unit(bytes: number): number {
  return Number.isInteger(bytes) ? 256 : 128 * BLOCK * bytes;
}

/** The window over elements `start … start + count − 1` of `bytes` each. */
export function window(start: number, count: number, bytes: number): Window {
  const from = start * bytes, step = unit(bytes), offset = Math.floor(from / step) * step;
  if (count === 0) return { offset: 0, size: 0, shift: 0 };
  return { offset, size: from + count * bytes - offset, shift: (from - offset) / bytes };
}

/** Cuts `count` items of `bytes` each into runs that a binding can cover. */
export function runs(count: number, bytes: number, maxBinding: number): { start: number; count: number }[] {
  // 256 bytes are left for a window that begins a little earlier.
  const most = Math.max(1, Math.floor((maxBinding - 256) / Math.max(bytes, 1)));
  const unit = most >= 256 ? 256 : most >= 64 ? 64 : 1; // kernels that sum 64 rows at a time start at multiples
  const step = Math.floor(most / unit) * unit;
  const parts: { start: number; count: number }[] = [];
  for (let start = 0; start < count; start += step) {
    parts.push({ start, count: Math.min(step, count - start) });
  }
  return parts;
}

/** Elements of all axes but the last, and of the last. */
export function rowsOf(shape: Shape): [rows: number, width: number] {
  const width = shape.at(-1) ?? 1;
  let rows = 1;
  for (const axis of shape.slice(0, -1)) rows *= axis;
  return [rows, width];
}

/** Binds a window of an input. */
export function inputWindow(input: number, { offset, size }: Window): WgslBinding {
  return { input, offset, size };
}

/** Binds a window of an output. */
export function outputWindow(output: number, { offset, size }: Window): WgslBinding {
  return { output, offset, size };
}

/** WGSL type of an array that holds elements of a dtype: 16-bit floats lie two to a word. */
export function arrayOf(dtype: DType): string {
  return dtype === "f32" ? "array<f32>" : dtype === "i32" ? "array<i32>" : "array<u32>";
}

/** A WGSL function `name(i: u32)` that reads element i of the array `from`, widened to f32. */
export function loader(name: string, from: string, dtype: DType): string {
  if (dtype === "bf16") {
    return `fn ${name}(i: u32) -> f32 {
  let w = ${from}[i >> 1u];
  return bitcast<f32>(select(w << 16u, w & 0xffff0000u, (i & 1u) == 1u));
}`;
  }
  if (isBlocks(dtype)) return blockSingles(name, from, dtype);
  if (dtype === "f16") {
    return `fn ${name}(i: u32) -> f32 { return unpack2x16float(${from}[i >> 1u])[i & 1u]; }`;
  }
  return `fn ${name}(i: u32) -> f32 { return ${from}[i]; }`;
}

/**
 * A generator that makes each text once. Compiled kernels are found by their text, at once where it is the same object.
 */
export function remember<A extends readonly unknown[]>(make: (...args: A) => string): (...args: A) => string {
  const known = new Map<string, string>();
  return (...args) => {
    const key = JSON.stringify(args), text = known.get(key) ?? make(...args);
    known.set(key, text);
    return text;
  };
}
