/** Looking for numbers that are none. */
import { BYTES, type HostTensor } from "../tensor.ts";

/** A number that is not finite. */
export interface NotFinite {
  /** Its place. */
  readonly index: number;
  /** What it is. */
  readonly value: "NaN" | "Infinity" | "-Infinity";
}

/** Exponent of all ones, of one element in 16 or 32 bits; in 64 bits, of the upper half. */
const EXPONENT: Readonly<Record<string, number>> = {
  f16: 0x7c00,
  bf16: 0x7f80,
  f32: 0x7f800000,
  f64: 0x7ff00000,
};

/**
 * The first number of a float tensor that is not finite, or `null`. Looks at bits, not numbers: no type is converted.
 *
 * @param options `nanOnly`: infinities are fine
 */
export function firstNotFinite(tensor: HostTensor, options: { readonly nanOnly: boolean }): NotFinite | null {
  const mask = EXPONENT[tensor.dtype];
  if (mask === undefined) return null;
  const size = BYTES[tensor.dtype], { length } = tensor.bytes;
  const bytes = tensor.bytes.byteOffset % 8 === 0 ? tensor.bytes : tensor.bytes.slice();
  const half = size === 2,
    words = size === 2
      ? new Uint16Array(bytes.buffer, bytes.byteOffset, length >> 1)
      : new Uint32Array(bytes.buffer, bytes.byteOffset, length >> 2);
  if (half && !anyHalf(bytes, mask)) return null;
  const step = size === 8 ? 2 : 1;
  for (let i = step - 1; i < words.length; i += step) {
    const word = words[i]!;
    if ((word & mask) !== mask) continue;
    const rest = half ? word & (0x7fff ^ mask) : word & (0x7fffffff ^ mask);
    const nan = rest !== 0 || (size === 8 && words[i - 1] !== 0);
    if (options.nanOnly && !nan) continue;
    const negative = (half ? word >>> 15 : word >>> 31) === 1;
    return { index: Math.floor(i / step), value: nan ? "NaN" : negative ? "-Infinity" : "Infinity" };
  }
  return null;
}

/** Whether any of the 16-bit numbers has an exponent of all ones; two are looked at together. */
function anyHalf(bytes: Uint8Array, mask: number): boolean {
  const pairs = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2), high = (mask << 16) | 0;
  for (let i = 0; i < pairs.length; i++) {
    const pair = pairs[i]!;
    if ((pair & mask) === mask || (pair & high) === high) return true;
  }
  return bytes.length % 4 !== 0;
}
