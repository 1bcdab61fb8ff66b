/**
 * Weights quantised in blocks, as GGUF files hold them, widened to f32 in WebAssembly; without a backend.
 *
 * @module
 */
import { ShapeError } from "../../core/errors.ts";
import { initSync } from "../lib/single.js";
import module from "../lib/single_module.js";

/** Types that are widened here: ggml's names in lower case. */
export type QuantisedType = "q4_0" | "q4_1" | "q8_0" | "q4_k" | "q5_k" | "q6_k";

/** Number in ggml, entries and bytes of a block. Source: `ggml.h` and `ggml-common.h` of ggml. */
const TYPES: Readonly<Record<QuantisedType, readonly [code: number, entries: number, bytes: number]>> = {
  q4_0: [2, 32, 18],
  q4_1: [3, 32, 20],
  q8_0: [8, 32, 34],
  q4_k: [12, 256, 144],
  q5_k: [13, 256, 176],
  q6_k: [14, 256, 210],
};

/** Entries widened at a time: what is read and written then stays in the cache. */
const PART = 1 << 15;

/**
 * Widens whole blocks to f32.
 *
 * @param blocks blocks of the type, one behind the other
 * @param target f32, one entry for each entry of the blocks
 * @throws {ShapeError} when these are no whole blocks, or the target has another length
 */
export function dequantise(type: QuantisedType, blocks: Uint8Array, target: Float32Array): void {
  const [code, entries, bytes] = TYPES[type], count = blocks.length / bytes;
  if (!Number.isInteger(count) || target.length !== count * entries) {
    throw new ShapeError(
      "dequantise",
      `expected ${bytes} bytes of ${type} for each ${entries} entries, received ${blocks.length} for ${target.length}`,
    );
  }
  const { memory, memory_take, memory_give, dequantise: widen } = initSync({ module });
  const step = PART / entries, size = PART * 4 + step * bytes;
  const to = memory_take(size, 0) >>> 0, from = to + PART * 4;
  try {
    for (let at = 0; at < count; at += step) {
      const part = Math.min(step, count - at);
      new Uint8Array(memory.buffer, from, part * bytes).set(blocks.subarray(at * bytes, (at + part) * bytes));
      widen(code, from, to, part);
      target.set(new Float32Array(memory.buffer, to, part * entries), at * entries);
    }
  } finally {
    memory_give(to, size);
  }
}
