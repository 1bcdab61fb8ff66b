/**
 * Element types of GGUF files.
 *
 * Source: https://github.com/ggml-org/ggml (`ggml.h`, the blocks in `ggml-common.h`).
 *
 * @module
 */
import { BYTES, type FileDType } from "../tensor.ts";

/** Types quantised in blocks that can be widened to f32: ggml's names in lower case. */
export type QuantisedType = "q4_0" | "q4_1" | "q8_0" | "q4_k" | "q5_k" | "q6_k";

/**
 * Widens whole blocks, one behind the other, to f32; `target` has an entry for each of theirs.
 */
export type Dequantise = (
  type: QuantisedType,
  blocks: Uint8Array,
  target: Float32Array,
) => void | Promise<void>;

/** An element type of a file. */
export interface GgufType {
  /** ggml's name. */
  readonly name: string;
  /** Entries of a block; 1 where there are no blocks. */
  readonly entries: number;
  /** Bytes of a block. */
  readonly bytes: number;
  /** The same type here, where there are no blocks. */
  readonly plain?: FileDType;
  /** What widens it. */
  readonly quantised?: QuantisedType;
}

/** The type of a number in a file; `undefined` for one that is not ggml's. */
export function ggufType(code: number): GgufType | undefined {
  const plain = PLAIN[code];
  if (plain !== undefined) return { name: plain.toUpperCase(), entries: 1, bytes: BYTES[plain], plain };
  const block = BLOCKS[code];
  if (block === undefined) return undefined;
  const [name, entries, bytes] = block, quantised = READ.find((type) => type.toUpperCase() === name);
  return { name, entries, bytes, ...(quantised ? { quantised } : {}) };
}

/** Names of all types whose tensors can be read. */
export function readableTypes(): readonly string[] {
  return [...Object.values(PLAIN), ...READ].map((name) => name.toUpperCase());
}

const READ: readonly QuantisedType[] = ["q4_0", "q4_1", "q8_0", "q4_k", "q5_k", "q6_k"];

const PLAIN: Readonly<Record<number, FileDType>> = {
  0: "f32",
  1: "f16",
  24: "i8",
  25: "i16",
  26: "i32",
  27: "i64",
  28: "f64",
  30: "bf16",
};

/** Name, entries and bytes of a block. */
const BLOCKS: Readonly<Record<number, readonly [string, number, number]>> = {
  2: ["Q4_0", 32, 18],
  3: ["Q4_1", 32, 20],
  6: ["Q5_0", 32, 22],
  7: ["Q5_1", 32, 24],
  8: ["Q8_0", 32, 34],
  9: ["Q8_1", 32, 40],
  10: ["Q2_K", 256, 84],
  11: ["Q3_K", 256, 110],
  12: ["Q4_K", 256, 144],
  13: ["Q5_K", 256, 176],
  14: ["Q6_K", 256, 210],
  15: ["Q8_K", 256, 292],
  16: ["IQ2_XXS", 256, 66],
  17: ["IQ2_XS", 256, 74],
  18: ["IQ3_XXS", 256, 98],
  19: ["IQ1_S", 256, 50],
  20: ["IQ4_NL", 32, 18],
  21: ["IQ3_S", 256, 110],
  22: ["IQ2_S", 256, 82],
  23: ["IQ4_XS", 256, 136],
  29: ["IQ1_M", 256, 56],
  34: ["TQ1_0", 256, 54],
  35: ["TQ2_0", 256, 66],
  39: ["MXFP4", 32, 17],
};
