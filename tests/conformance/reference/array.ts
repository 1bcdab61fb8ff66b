/** Arrays that the references compute on: every element as a double, whatever the dtype. */
import {
  BYTES,
  type DType,
  elements,
  isBlocks,
  type Shape,
  type Spec,
  type StoredTensor,
  type TypedArray,
} from "../../../core/tensor.ts";
import { fromBlocks, toBlocks } from "./blocks.ts";

/** A tensor in plain memory, its elements widened to doubles; they are values of `dtype` unless stated. */
export interface HostArray extends Spec {
  /** Elements, row-major. */
  readonly data: Float64Array;
}

/** An array of a shape, zeros unless data is given. */
export function array(shape: Shape, data?: ArrayLike<number>, dtype: DType = "f32"): HostArray {
  const values = data ? Float64Array.from(data) : new Float64Array(elements(shape));
  if (values.length !== elements(shape)) {
    throw new RangeError(`Cannot make an array of [${shape.join(", ")}]: received ${values.length} elements`);
  }
  return { shape, dtype, data: values };
}

const CELL = new DataView(new ArrayBuffer(4));

/** The number that 16 bits mean. */
export function fromBits(bits: number, dtype: "bf16" | "f16"): number {
  CELL.setUint32(0, bits << 16);
  return dtype === "f16" ? CELL.getFloat16(0) : CELL.getFloat32(0);
}

/** The 16 bits nearest to a number of single precision, ties to even. */
export function toBits(value: number, dtype: "bf16" | "f16"): number {
  if (dtype === "f16") {
    CELL.setFloat16(0, value);
    return CELL.getUint16(0);
  }
  if (Number.isNaN(value)) return 0x7fc0;
  CELL.setFloat32(0, value);
  const bits = CELL.getUint32(0), half = bits & 0xffff, high = bits >>> 16;
  const up = half > 0x8000 || (half === 0x8000 && (high & 1) === 1);
  return (high + (up ? 1 : 0)) & 0xffff;
}

/** A double rounded to a dtype, as a double. */
export function round(value: number, dtype: DType): number {
  switch (dtype) {
    case "f32":
      return Math.fround(value);
    case "i32":
      return value | 0;
    case "u8":
      return value & 0xff;
    case "bf16":
    case "f16":
      return fromBits(toBits(Math.fround(value), dtype), dtype);
    default:
      throw new RangeError(`Cannot round one number to ${dtype}: expected a block of them`);
  }
}

/** The array as a backend reads it back: bf16 and f16 as their bits, blocks as their bytes. */
export function toTyped({ data, dtype }: HostArray): TypedArray {
  switch (dtype) {
    case "f32":
      return Float32Array.from(data);
    case "i32":
      return Int32Array.from(data);
    case "u8":
      return Uint8Array.from(data);
    case "bf16":
    case "f16":
      return Uint16Array.from(data, (value) => toBits(Math.fround(value), dtype));
    default:
      return toBlocks(data, dtype);
  }
}

/** What a backend read, as an array. */
export function fromTyped(typed: TypedArray, { shape, dtype }: Spec): HostArray {
  if (isBlocks(dtype)) return { shape, dtype, data: fromBlocks(typed as Uint8Array, dtype) };
  const data = dtype === "bf16" || dtype === "f16"
    ? Float64Array.from(typed, (bits) => fromBits(bits, dtype))
    : Float64Array.from(typed);
  return { shape, dtype, data };
}

/** The array as a file holds it. */
export function toHost(from: HostArray): StoredTensor {
  const typed = toTyped(from);
  const bytes = new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength);
  return { shape: from.shape, dtype: from.dtype, bytes };
}

/** A file's tensor as an array of a backend's dtype: values kept, rounded where the dtype is narrower. */
export function fromHost({ bytes, dtype, shape }: StoredTensor, to: DType): HostArray {
  if (isBlocks(dtype)) return { shape, dtype: to, data: fromBlocks(bytes, dtype) };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), size = BYTES[dtype];
  const get: Record<typeof dtype, (at: number) => number> = {
    f64: (at) => view.getFloat64(at, true),
    f32: (at) => view.getFloat32(at, true),
    bf16: (at) => fromBits(view.getUint16(at, true), "bf16"),
    f16: (at) => view.getFloat16(at, true),
    i64: (at) => Number(view.getBigInt64(at, true)),
    u64: (at) => Number(view.getBigUint64(at, true)),
    i32: (at) => view.getInt32(at, true),
    u32: (at) => view.getUint32(at, true),
    i16: (at) => view.getInt16(at, true),
    u16: (at) => view.getUint16(at, true),
    i8: (at) => view.getInt8(at),
    u8: (at) => view.getUint8(at),
    bool: (at) => view.getUint8(at),
  };
  const data = Float64Array.from({ length: elements(shape) }, (_, i) => round(get[dtype](i * size), to));
  return { shape, dtype: to, data };
}
