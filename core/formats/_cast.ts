/**
 * Conversions between float types of 16 and 32 bits on their bits alone: several times as fast as by way of numbers.
 *
 * @module
 */

/** bf16 to f32: the bits become the upper half; exact. */
export function widenBf16(source: Uint16Array, target: Int32Array): void {
  for (let i = 0; i < target.length; i++) target[i] = source[i]! << 16;
}

/** f16 to f32; exact. */
export function widenF16(source: Uint16Array, target: Int32Array): void {
  const table = wideF16();
  for (let i = 0; i < target.length; i++) target[i] = table[source[i]!]!;
}

/** The f32 of every f16: looking it up is faster than any arithmetic, and than the engine's own conversion. */
let table: Int32Array | undefined;

function wideF16(): Int32Array {
  if (table) return table;
  const halves = Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits);
  const wide = new Float32Array(new Float16Array(halves.buffer));
  return table = new Int32Array(wide.buffer);
}

/** f32 to bf16: to nearest, ties to even; NaN becomes the quiet one. */
export function narrowBf16(source: Uint32Array, target: Uint16Array): void {
  for (let i = 0; i < target.length; i++) {
    const word = source[i]!;
    target[i] = (word & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
}
