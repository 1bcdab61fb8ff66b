/**
 * The draft vocabulary: how often each token is trained on, and the ids that are kept.
 *
 * @module
 */
import { join } from "node:path";
import { ConfigError, FormatError } from "../errors.ts";
import { readNpy, writeNpy } from "../formats/npy.ts";
import type { VocabularyMap } from "../plugin.ts";

/** How often each id is trained on. Ids never trained on are absent; the order is that of upstream's file. */
export type TokenFrequencies = Map<number, number>;

/**
 * Chooses a draft vocabulary. The heavy part of the mapping, done outside the core.
 *
 * Observed ids are ordered by count (descending), then id; the first `draftSize` are taken; if there are fewer, the
 * smallest ids not taken yet fill up. Counts of 0 are observed.
 *
 * @param ids observed ids
 * @param counts how often each was seen
 * @throws {ConfigError} when `draftSize` exceeds `targetSize`, or a selected id does
 */
export type SelectVocabulary = (
  ids: Int32Array,
  counts: BigInt64Array,
  draftSize: number,
  targetSize: number,
) => Promise<VocabularyMap>;

/** Share of the trained tokens that a draft vocabulary of a size keeps. */
export interface Coverage {
  /** Size of the draft vocabulary. */
  readonly size: number;
  /** Of 0 to 1. */
  readonly share: number;
}

/**
 * Counts a sequence: the ids whose mask is 1. New ids enter in ascending order, sequence by sequence, as upstream's
 * file has them.
 */
export function countTokens(frequencies: TokenFrequencies, ids: Int32Array, lossMask: Uint8Array): void {
  const counts = new Map<number, number>();
  for (let t = 0; t < ids.length; t++) {
    if (lossMask[t] === 1) counts.set(ids[t]!, (counts.get(ids[t]!) ?? 0) + 1);
  }
  for (const id of [...counts.keys()].sort((a, b) => a - b)) {
    frequencies.set(id, (frequencies.get(id) ?? 0) + counts.get(id)!);
  }
}

/** Adds up the frequencies of several data sets. */
export function combineFrequencies(parts: Iterable<ReadonlyMap<number, number>>): TokenFrequencies {
  const sum: TokenFrequencies = new Map();
  for (const part of parts) {
    for (const [id, count] of part) sum.set(id, (sum.get(id) ?? 0) + count);
  }
  return sum;
}

/**
 * Chooses a draft vocabulary from frequencies.
 *
 * @throws {ConfigError} when the draft vocabulary is larger than the verifier's, or an id lies outside it
 */
export async function mapVocabulary(
  frequencies: ReadonlyMap<number, number>,
  options: { readonly draftSize: number; readonly targetSize: number; readonly select: SelectVocabulary },
): Promise<VocabularyMap> {
  const { draftSize, select, targetSize } = options;
  checkSize("draft_vocab_size", draftSize);
  checkSize("target_vocab_size", targetSize);
  if (draftSize > targetSize) {
    throw new ConfigError(
      "draft_vocab_size",
      `expected at most the ${targetSize} entries of the verifier, received ${draftSize}`,
    );
  }
  const ids = new Int32Array(frequencies.size);
  const counts = new BigInt64Array(frequencies.size);
  let i = 0;
  for (const [id, count] of frequencies) {
    ids[i] = id;
    counts[i++] = BigInt(count);
  }
  return await select(ids, counts, draftSize, targetSize);
}

/** What draft vocabularies of several sizes would keep, by the same order as the selection. */
export function vocabularyCoverage(
  frequencies: ReadonlyMap<number, number>,
  sizes: readonly number[],
): Coverage[] {
  const counts = Float64Array.from(frequencies.values()).sort().reverse();
  const sums = new Float64Array(counts.length + 1);
  for (let i = 0; i < counts.length; i++) sums[i + 1] = sums[i]! + counts[i]!;
  const total = sums[counts.length]!;
  return sizes.map((size) => ({
    size,
    share: total === 0 ? 0 : sums[Math.min(size, counts.length)]! / total,
  }));
}

/** Writes `d2t.npy` (i64 offsets) and `t2d.npy` (bool) into a folder; gives their paths. */
export async function writeVocabularyMap(
  folder: string,
  map: VocabularyMap,
): Promise<{ d2t: string; t2d: string }> {
  const paths = { d2t: join(folder, "d2t.npy"), t2d: join(folder, "t2d.npy") };
  const { d2t, t2d } = map;
  const offsets = new Uint8Array(d2t.buffer, d2t.byteOffset, d2t.byteLength);
  await writeNpy(paths.d2t, { shape: [d2t.length], dtype: "i64", bytes: offsets });
  await writeNpy(paths.t2d, { shape: [t2d.length], dtype: "bool", bytes: t2d });
  return paths;
}

/**
 * Reads a mapping and checks that both files say the same.
 *
 * @throws {NotFoundError} when a file is not there
 * @throws {FormatError} when a file holds another kind of array, or the two disagree
 */
export async function readVocabularyMap(d2tPath: string, t2dPath: string): Promise<VocabularyMap> {
  const [offsets, kept] = await Promise.all([readNpy(d2tPath), readNpy(t2dPath)]);
  if (offsets.dtype !== "i64" || offsets.shape.length !== 1) {
    throw new FormatError(d2tPath, `expected i64[n], received ${offsets.dtype}[${offsets.shape.join(", ")}]`);
  }
  if ((kept.dtype !== "bool" && kept.dtype !== "u8") || kept.shape.length !== 1) {
    throw new FormatError(t2dPath, `expected bool[n], received ${kept.dtype}[${kept.shape.join(", ")}]`);
  }
  const d2t = new BigInt64Array(offsets.bytes.slice().buffer);
  const t2d = kept.bytes;
  let count = 0;
  for (const flag of t2d) if (flag !== 0) count++;
  if (count !== d2t.length) {
    throw new FormatError(t2dPath, `expected ${d2t.length} kept ids, as in d2t, received ${count}`);
  }
  for (let i = 0; i < d2t.length; i++) {
    const id = BigInt(i) + d2t[i]!;
    if (id < 0n || id >= BigInt(t2d.length) || t2d[Number(id)] === 0) {
      throw new FormatError(d2tPath, `expected entry ${i} to name a kept id, received ${id}`);
    }
  }
  return { d2t, t2d };
}

function checkSize(name: string, size: number): void {
  if (!Number.isSafeInteger(size) || size < 1) {
    throw new ConfigError(name, `expected a positive integer, received ${size}`);
  }
}
