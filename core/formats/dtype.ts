/**
 * Conversions between the element types that files hold. Floats round to nearest, ties to even; integers must fit.
 *
 * @module
 */
import { SpeculatorsError } from "../errors.ts";
import { BYTES, elements, type FileDType, type HostTensor, type Shape } from "../tensor.ts";
import { narrowBf16, widenBf16, widenF16 } from "./_cast.ts";
import { bf16Bits, bf16Value, sticky } from "./_bits.ts";

/** Arrays whose element type says which one a tensor has; `Uint16Array` may also hold the raw bits of bf16 and f16. */
export type NumberArray =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

/** Elements converted at a time where there is a step between. */
const PART = 1 << 15;

type Elements = NumberArray | Float16Array;

const RANGES: Readonly<Partial<Record<FileDType, readonly [bigint, bigint]>>> = {
  i64: [-(2n ** 63n), 2n ** 63n - 1n],
  i32: [-(2n ** 31n), 2n ** 31n - 1n],
  i16: [-32768n, 32767n],
  i8: [-128n, 127n],
  u64: [0n, 2n ** 64n - 1n],
  u32: [0n, 2n ** 32n - 1n],
  u16: [0n, 65535n],
  u8: [0n, 255n],
};

/**
 * A tensor in another element type; the same object when it has that type already.
 *
 * Float to float rounds to nearest, ties to even, once. Number to bool: whether it is not zero.
 *
 * @param options `into`: memory for the result, used where it is large enough; fresh memory costs more than the work
 * @throws {SpeculatorsError} `E_RANGE` when an integer type is asked for and a value is no integer or too large
 */
export function convert(
  tensor: HostTensor,
  dtype: FileDType,
  options: { readonly into?: ArrayBuffer } = {},
): HostTensor {
  if (tensor.dtype === dtype) return tensor;
  const source = view(tensor), size = source.length * BYTES[dtype], { into } = options;
  const bytes = into && into.byteLength >= size ? new Uint8Array(into, 0, size) : new Uint8Array(size);
  const target = arrayOf(dtype, bytes);
  const result: HostTensor = { shape: tensor.shape, dtype, bytes };
  if (castBits({ source, from: tensor.dtype, bytes, to: dtype })) return result;
  const range = RANGES[dtype];
  if (range === undefined) toFloat(source, target, tensor.dtype, dtype);
  else toInteger(source, target, tensor.dtype, { dtype, low: range[0], high: range[1] });
  return result;
}

/**
 * A tensor's elements as f32. For an f32 tensor these are its own bytes where they are aligned, no copy.
 */
export function toFloat32(tensor: HostTensor): Float32Array {
  return view(convert(tensor, "f32")) as Float32Array;
}

/**
 * A tensor's elements as i32. For an i32 tensor these are its own bytes where they are aligned, no copy.
 *
 * @throws {SpeculatorsError} `E_RANGE` when a value is no integer of 32 bits
 */
export function toInt32(tensor: HostTensor): Int32Array {
  return view(convert(tensor, "i32")) as Int32Array;
}

/** A tensor's elements as whole bytes: `u8`, or `bool` as 0 and 1. */
export function toUint8(tensor: HostTensor): Uint8Array {
  return view(tensor.dtype === "bool" ? tensor : convert(tensor, "u8")) as Uint8Array;
}

/**
 * A tensor of a typed array's elements, which are of `dtype`: f32 and f64 arrays may be rounded to it, the raw 16
 * bits of bf16 and f16 come in a `Uint16Array`. Shares memory with the array when nothing is converted.
 *
 * @throws {SpeculatorsError} `E_RANGE` when the array's length is not that of the shape, or a value does not fit
 */
export function hostTensor(
  data: NumberArray,
  shape: Shape,
  dtype?: FileDType,
): HostTensor {
  if (data.length !== elements(shape)) {
    throw new SpeculatorsError(
      "E_RANGE",
      `Cannot make a tensor of shape [${shape.join(", ")}]: expected ${
        elements(shape)
      } elements, received ${data.length}`,
    );
  }
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const own = dtypeOf(data);
  const raw = dtype !== undefined && data instanceof Uint16Array && (dtype === "bf16" || dtype === "f16");
  if (raw) return { shape, dtype, bytes };
  const tensor: HostTensor = { shape, dtype: own, bytes };
  return dtype === undefined ? tensor : convert(tensor, dtype);
}

/** A tensor's elements in the typed array of their type; bf16 as raw bits. A copy only where alignment asks for it. */
function view(tensor: HostTensor): Elements {
  const size = BYTES[tensor.dtype];
  const { bytes } = tensor;
  if (bytes.length !== elements(tensor.shape) * size) {
    throw new SpeculatorsError(
      "E_RANGE",
      `Cannot use a tensor of shape [${tensor.shape.join(", ")}] and type ${tensor.dtype}: expected ${
        elements(tensor.shape) * size
      } bytes, received ${bytes.length}`,
    );
  }
  return arrayOf(tensor.dtype, bytes.byteOffset % size === 0 ? bytes : bytes.slice());
}

/** Conversions between 16 and 32 bits, which are by far the most frequent. Gives `false` for others. */
function castBits(
  cast: {
    readonly source: Elements;
    readonly from: FileDType;
    readonly bytes: Uint8Array;
    readonly to: FileDType;
  },
): boolean {
  const { source, from, to, bytes } = cast, { buffer, byteOffset, length } = source;
  const halves = () => new Uint16Array(buffer, byteOffset, length);
  if (from === "bf16" && to === "f32") widenBf16(halves(), new Int32Array(bytes.buffer, 0, length));
  else if (from === "f16" && to === "f32") widenF16(halves(), new Int32Array(bytes.buffer, 0, length));
  else if (from === "f32" && to === "bf16") {
    narrowBf16(new Uint32Array(buffer, byteOffset, length), new Uint16Array(bytes.buffer, 0, length));
  } else if ((from === "f16" && to === "bf16") || (from === "bf16" && to === "f16")) {
    // By way of f32, which holds both exactly; in parts that stay in the cache.
    for (let at = 0; at < length; at += PART) {
      const part = halves().subarray(at, at + PART), wide = new Int32Array(part.length);
      if (from === "f16") {
        widenF16(part, wide);
        narrowBf16(new Uint32Array(wide.buffer), new Uint16Array(bytes.buffer, at * 2, part.length));
      } else {
        widenBf16(part, wide);
        new Float16Array(bytes.buffer, at * 2, part.length).set(new Float32Array(wide.buffer));
      }
    }
  } else return false;
  return true;
}

function arrayOf(dtype: FileDType, bytes: Uint8Array): Elements {
  const args = [bytes.buffer, bytes.byteOffset, bytes.length / BYTES[dtype]] as const;
  switch (dtype) {
    case "f64":
      return new Float64Array(...args);
    case "f32":
      return new Float32Array(...args);
    case "f16":
      return new Float16Array(...args);
    case "bf16":
    case "u16":
      return new Uint16Array(...args);
    case "i64":
      return new BigInt64Array(...args);
    case "u64":
      return new BigUint64Array(...args);
    case "i32":
      return new Int32Array(...args);
    case "u32":
      return new Uint32Array(...args);
    case "i16":
      return new Int16Array(...args);
    case "i8":
      return new Int8Array(...args);
    default:
      return new Uint8Array(...args);
  }
}

function dtypeOf(data: NumberArray): FileDType {
  if (data instanceof Float64Array) return "f64";
  if (data instanceof Float32Array) return "f32";
  if (data instanceof BigInt64Array) return "i64";
  if (data instanceof BigUint64Array) return "u64";
  if (data instanceof Int32Array) return "i32";
  if (data instanceof Uint32Array) return "u32";
  if (data instanceof Int16Array) return "i16";
  if (data instanceof Int8Array) return "i8";
  if (data instanceof Uint16Array) return "u16";
  return "u8";
}

function toFloat(source: Elements, target: Elements, from: FileDType, to: FileDType): void {
  const direct = source instanceof Float32Array || source instanceof Float64Array ||
    source instanceof Float16Array;
  if (direct && to !== "bf16" && to !== "bool") {
    (target as Float32Array).set(source);
    return;
  }
  for (let i = 0; i < source.length; i++) {
    const item = source[i]!;
    let value: number;
    if (typeof item === "bigint") value = to === "f64" ? Number(item) : sticky(item);
    else value = from === "bf16" ? bf16Value(item) : item;
    if (to === "bf16") target[i] = bf16Bits(value);
    else if (to === "bool") target[i] = value === 0 ? 0 : 1;
    else target[i] = value;
  }
}

function toInteger(
  source: Elements,
  target: Elements,
  from: FileDType,
  to: { readonly dtype: FileDType; readonly low: bigint; readonly high: bigint },
): void {
  const wide = target instanceof BigInt64Array || target instanceof BigUint64Array;
  const [low, high] = [Number(to.low), Number(to.high)];
  for (let i = 0; i < source.length; i++) {
    let item: number | bigint = source[i]!;
    if (from === "bf16") item = bf16Value(item as number);
    else if (from === "bool") item = item === 0 ? 0 : 1;
    if (typeof item === "bigint") {
      if (item < to.low || item > to.high) throw misfit(from, to, item, i);
      if (wide) target[i] = item;
      else target[i] = Number(item);
    } else if (wide) {
      if (!Number.isInteger(item)) throw misfit(from, to, item, i);
      const whole = BigInt(item);
      if (whole < to.low || whole > to.high) throw misfit(from, to, item, i);
      target[i] = whole;
    } else {
      if (!Number.isInteger(item) || item < low || item > high) throw misfit(from, to, item, i);
      target[i] = item;
    }
  }
}

function misfit(
  from: FileDType,
  to: { readonly dtype: FileDType; readonly low: bigint; readonly high: bigint },
  value: number | bigint,
  index: number,
): SpeculatorsError {
  return new SpeculatorsError(
    "E_RANGE",
    `Cannot convert ${from} to ${to.dtype}: expected integers from ${to.low} to ${to.high}, received ${value} at ${index}`,
  );
}
