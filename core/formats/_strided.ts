/**
 * Copies of strided views into row-major order.
 *
 * @module
 */
import { elements, type Shape } from "../tensor.ts";

/** A view: how its elements lie in memory, in elements. */
export interface Layout {
  readonly shape: Shape;
  /** Distance between neighbours along each axis; never negative. */
  readonly strides: readonly number[];
}

/** Strides of row-major order. */
export function rowMajor(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= Math.max(shape[i]!, 1);
  }
  return strides;
}

/** Whether a view's elements lie in row-major order without holes. */
export function isRowMajor(layout: Layout): boolean {
  const expected = rowMajor(layout.shape);
  return layout.shape.every((axis, i) => axis === 1 || layout.strides[i] === expected[i]);
}

/** Elements from a view's first up to and with its last, in memory; 0 for an empty one. */
export function extent(layout: Layout): number {
  let last = 0;
  for (const [i, axis] of layout.shape.entries()) {
    if (axis === 0) return 0;
    last += (axis - 1) * layout.strides[i]!;
  }
  return last + 1;
}

/** Copies a view, whose first element is the first of `bytes`, into row-major order. */
export function gather(bytes: Uint8Array, itemSize: number, layout: Layout): Uint8Array<ArrayBuffer> {
  const { shape, strides } = layout;
  const count = elements(shape);
  const result = new Uint8Array(count * itemSize);
  const rank = shape.length;
  const index = new Array<number>(rank).fill(0);
  let from = 0;
  for (let to = 0; to < result.length; to += itemSize) {
    for (let k = 0; k < itemSize; k++) result[to + k] = bytes[from * itemSize + k]!;
    for (let axis = rank - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= index[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
  return result;
}

/** Reverses the bytes of each item, in place. */
export function swapBytes(bytes: Uint8Array, itemSize: number): void {
  for (let at = 0; at + itemSize <= bytes.length; at += itemSize) bytes.subarray(at, at + itemSize).reverse();
}
