/**
 * Rounding of single numbers to the 16-bit floats, and integers to floats, to nearest, ties to even.
 *
 * @module
 */

const WORDS = new Uint32Array(1);
const SINGLE = new Float32Array(WORDS.buffer);

/** Bits of the bf16 next to an f64; rounded once, not by way of f32. */
export function bf16Bits(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  SINGLE[0] = value;
  let word = WORDS[0]!;
  // On a tie of the f32, what rounding to f32 took away decides.
  if ((word & 0xffff) === 0x8000 && SINGLE[0] !== value) {
    word += Math.abs(SINGLE[0]!) < Math.abs(value) ? 1 : -1;
  }
  return ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The number that bf16 bits stand for. */
export function bf16Value(bits: number): number {
  WORDS[0] = bits << 16;
  return SINGLE[0]!;
}

/** An f64 that rounds to the same f32, bf16 or f16 as the integer does: beyond 2^53 the lost bits leave a mark. */
export function sticky(value: bigint): number {
  const exact = Number(value);
  if (Number.isSafeInteger(exact)) return exact;
  const size = value < 0n ? -value : value;
  const marked = ((size >> 11n) << 11n) | ((size & 0x7ffn) === 0n ? 0n : 0x800n);
  return value < 0n ? -Number(marked) : Number(marked);
}
