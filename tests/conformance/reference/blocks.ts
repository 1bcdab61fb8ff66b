/** Weights in blocks by the plainest means: rounding to them, and what they stand for. */
import { BLOCK, type BlockDType, BYTES } from "../../../core/tensor.ts";

/** Bytes before the integers. */
const HEAD: Readonly<Record<BlockDType, number>> = { q8_0: 2, q4_0: 2, q4_1: 4 };

/** Scale and least entry of a block, as ggml chooses them; before they are rounded to half precision. */
function fit(values: Float64Array, dtype: BlockDType): { scale: number; least: number } {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity),
    high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (dtype === "q4_1") return { scale: (high - low) / 15, least: low };
  if (dtype === "q4_0") return { scale: (-low >= high ? low : high) / -8, least: 0 };
  return { scale: Math.max(-low, high) / 127, least: 0 };
}

/** The blocks nearest to whole blocks of numbers; numbers that blocks stand for come back as they were. */
export function toBlocks(values: Float64Array, dtype: BlockDType): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(values.length * BYTES[dtype]), view = new DataView(bytes.buffer);
  const size = BLOCK * BYTES[dtype], head = HEAD[dtype];
  for (let block = 0; block * BLOCK < values.length; block++) {
    const from = values.subarray(block * BLOCK, (block + 1) * BLOCK), at = block * size;
    const found = fit(from, dtype);
    view.setFloat16(at, found.scale, true);
    if (dtype === "q4_1") view.setFloat16(at + 2, found.least, true);
    const scale = view.getFloat16(at, true), least = dtype === "q4_1" ? view.getFloat16(at + 2, true) : 0;
    const [zero, low, high] = dtype === "q8_0" ? [0, -127, 127] : dtype === "q4_0" ? [8, 0, 15] : [0, 0, 15];
    for (const [i, value] of from.entries()) {
      const q = Math.min(
        high!,
        Math.max(low!, Math.round(scale === 0 ? 0 : (value - least) / scale) + zero!),
      );
      if (dtype === "q8_0") view.setInt8(at + head + i, q);
      else bytes[at + head + i % 16]! |= i < 16 ? q : q << 4;
    }
  }
  return bytes;
}

/** What blocks stand for. */
export function fromBlocks(bytes: Uint8Array, dtype: BlockDType): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), size = BLOCK * BYTES[dtype];
  return Float64Array.from({ length: bytes.length / BYTES[dtype] }, (_, index) => {
    const at = Math.floor(index / BLOCK) * size, i = index % BLOCK, scale = view.getFloat16(at, true);
    if (dtype === "q8_0") return scale * view.getInt8(at + 2 + i);
    const byte = view.getUint8(at + HEAD[dtype] + i % 16), q = i < 16 ? byte & 15 : byte >> 4;
    return dtype === "q4_0" ? scale * (q - 8) : scale * q + view.getFloat16(at + 2, true);
  });
}
