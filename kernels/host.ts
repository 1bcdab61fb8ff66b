/** Elements of files brought to a dtype that a backend holds. */
import { ShapeError } from "../core/errors.ts";
import {
  BLOCK,
  type BlockDType,
  BYTES,
  type DType,
  elements,
  type FileDType,
  isBlocks,
  type StoredTensor,
  type TypedArray,
} from "../core/tensor.ts";

const HELD: Readonly<Record<DType | FileDType, DType>> = {
  f64: "f32",
  f32: "f32",
  bf16: "bf16",
  f16: "f16",
  i64: "i32",
  i32: "i32",
  i16: "i32",
  i8: "i32",
  u64: "i32",
  u32: "i32",
  u16: "i32",
  u8: "u8",
  bool: "u8",
  q8_0: "q8_0",
  q4_0: "q4_0",
  q4_1: "q4_1",
};

/** Bits of the bfloat16 nearest to a number, ties to even. */
export function bf16Bits(value: number): number {
  const bits = floatBits(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40; // not a number stays one
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** Bits of the half-precision number nearest to a number, ties to even. */
export function f16Bits(value: number): number {
  const view = new DataView(new ArrayBuffer(2));
  view.setFloat16(0, value);
  return view.getUint16(0);
}

function floatBits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}

function reader(dtype: FileDType, view: DataView): (at: number) => number {
  switch (dtype) {
    case "f64":
      return (at) => view.getFloat64(at, true);
    case "f32":
      return (at) => view.getFloat32(at, true);
    case "bf16": {
      const cell = new DataView(new ArrayBuffer(4));
      return (at) => {
        cell.setUint16(2, view.getUint16(at, true), true);
        return cell.getFloat32(0, true);
      };
    }
    case "f16":
      return (at) => view.getFloat16(at, true);
    case "i64":
      return (at) => Number(view.getBigInt64(at, true));
    case "u64":
      return (at) => Number(view.getBigUint64(at, true));
    case "i32":
      return (at) => view.getInt32(at, true);
    case "u32":
      return (at) => view.getUint32(at, true);
    case "i16":
      return (at) => view.getInt16(at, true);
    case "u16":
      return (at) => view.getUint16(at, true);
    case "i8":
      return (at) => view.getInt8(at);
    default:
      return (at) => view.getUint8(at);
  }
}

function writer(dtype: Exclude<DType, BlockDType>, view: DataView): (at: number, value: number) => void {
  switch (dtype) {
    case "f32":
      return (at, value) => view.setFloat32(at, value, true);
    case "bf16":
      return (at, value) => view.setUint16(at, bf16Bits(value), true);
    case "f16":
      return (at, value) => view.setFloat16(at, value, true);
    case "i32":
      return (at, value) => view.setInt32(at, value, true);
    case "u8":
      return (at, value) => view.setUint8(at, value);
  }
}

/**
 * A tensor's elements as little-endian bytes of a dtype that backends hold: its own where possible, else the nearest
 * (`f64` → f32, integers → i32, `bool` → u8). Narrowing floats rounds to nearest even.
 *
 * @throws {ShapeError} when the length does not fit the shape, or an integer does not fit the dtype
 */
export function toHeld(
  data: StoredTensor,
  dtype: DType = HELD[data.dtype],
): { dtype: DType; bytes: Uint8Array } {
  const count = elements(data.shape), size = BYTES[data.dtype];
  if (data.bytes.byteLength !== count * size) {
    throw new ShapeError(
      "upload",
      `expected ${count * size} bytes for ${data.dtype}[${
        data.shape.join(", ")
      }], received ${data.bytes.byteLength}`,
    );
  }
  if (isBlocks(data.dtype) || isBlocks(dtype)) return { dtype, bytes: blocks(data, dtype) };
  if (data.dtype === dtype || (data.dtype === "bool" && dtype === "u8")) return { dtype, bytes: data.bytes };
  const bytes = new Uint8Array(count * BYTES[dtype]);
  const { bytes: from } = data;
  const read = reader(data.dtype, new DataView(from.buffer, from.byteOffset, from.byteLength));
  const write = writer(dtype, new DataView(bytes.buffer));
  const [low, high] = dtype === "i32"
    ? [-(2 ** 31), 2 ** 31 - 1]
    : dtype === "u8"
    ? [0, 255]
    : [-Infinity, Infinity];
  for (let i = 0; i < count; i++) {
    const value = read(i * size);
    if (value < low || value > high) {
      throw new ShapeError("upload", `expected ${dtype} from ${low} to ${high}, received ${value} at ${i}`);
    }
    write(i * BYTES[dtype], value);
  }
  return { dtype, bytes };
}

/** Blocks are held as they come. */
function blocks({ dtype: from, shape, bytes }: StoredTensor, dtype: DType): Uint8Array {
  if (from !== dtype) {
    throw new ShapeError("upload", `expected ${from} to be held as it is, received ${dtype}`);
  }
  const width = shape.at(-1) ?? 1;
  if (width % BLOCK !== 0) {
    throw new ShapeError("upload", `expected rows of whole blocks of ${BLOCK}, received ${width} entries`);
  }
  return bytes;
}

/** Bytes as the typed array of a dtype; bf16 and f16 as their raw 16 bits, blocks as their bytes. */
export function asTyped(dtype: DType, bytes: ArrayBuffer, count: number): TypedArray {
  switch (dtype) {
    case "f32":
      return new Float32Array(bytes, 0, count);
    case "i32":
      return new Int32Array(bytes, 0, count);
    case "u8":
      return new Uint8Array(bytes, 0, count);
    case "q8_0":
    case "q4_0":
    case "q4_1":
      return new Uint8Array(bytes, 0, count * BYTES[dtype]);
    default:
      return new Uint16Array(bytes, 0, count);
  }
}
