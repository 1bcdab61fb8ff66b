/** Copies along an axis, element by element. */
import type { AxisAttrs, SliceAttrs, UnsliceAttrs, WriteRowsAttrs } from "../../../kernels/ops/copy/mod.ts";
import { array, type HostArray } from "./array.ts";
import type { Reference } from "./types.ts";

/** Copies `x` into `out`, its index along the axis moved by `offset`; what falls outside of `out` is left out. */
function place(x: HostArray, out: HostArray, { axis, offset }: { axis: number; offset: number }): void {
  const inner = x.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const [length, room] = [x.shape[axis]!, out.shape[axis]!];
  x.data.forEach((value, i) => {
    const outer = Math.floor(i / (inner * length)), at = Math.floor(i / inner) % length + offset;
    if (at >= 0 && at < room) out.data[(outer * room + at) * inner + i % inner] = value;
  });
}

function like(x: HostArray, axis: number, length: number): HostArray {
  return array(x.shape.map((size, a) => a === axis ? length : size), undefined, x.dtype);
}

/** Joined along an axis. */
export const concat: Reference<AxisAttrs> = (inputs, { axis }) => {
  const out = like(inputs[0]!, axis, inputs.reduce((sum, x) => sum + x.shape[axis]!, 0));
  let offset = 0;
  for (const x of inputs) {
    place(x, out, { axis, offset });
    offset += x.shape[axis]!;
  }
  return [out];
};

/** A part of an axis. */
export const slice: Reference<SliceAttrs> = ([x], { axis, start, end }) => {
  const out = like(x!, axis, end - start);
  place(x!, out, { axis, offset: -start });
  return [out];
};

/** Zeros around a part. */
export const unslice: Reference<UnsliceAttrs> = ([x], { axis, start, length }) => {
  const out = like(x!, axis, length);
  place(x!, out, { axis, offset: start });
  return [out];
};

/** Rows written over others. */
export const writeRows: Reference<WriteRowsAttrs> = ([dst, src], { at }) => {
  const out = array(dst!.shape, dst!.data, dst!.dtype);
  place(src!, out, { axis: 0, offset: at });
  return [out];
};
