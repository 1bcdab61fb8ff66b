/**
 * `sample_lengths.json`: how many tokens each sample of a folder has.
 *
 * @module
 */
import { join } from "node:path";
import { FormatError, NotFoundError } from "../errors.ts";
import { readJson, writeFileAtomic } from "../files.ts";

/** Name of the file. */
export const LENGTHS_FILE = "sample_lengths.json";

/** Text of the file, as Python's `json.dump(…, indent=2)` writes it. */
export function formatLengths(lengths: ReadonlyMap<number, number>): string {
  const order = [...lengths].sort(([a], [b]) => a - b);
  if (order.length === 0) return "{}";
  return `{\n${order.map(([index, length]) => `  "${index}": ${length}`).join(",\n")}\n}`;
}

/** Writes the lengths of a folder's samples in one step. */
export async function writeLengths(folder: string, lengths: ReadonlyMap<number, number>): Promise<void> {
  await writeFileAtomic(join(folder, LENGTHS_FILE), formatLengths(lengths));
}

/**
 * Reads the lengths of a folder's samples; none when the file is not there.
 *
 * @throws {FormatError} when it holds something else
 */
export async function readLengths(folder: string): Promise<Map<number, number>> {
  const path = join(folder, LENGTHS_FILE);
  let value: unknown;
  try {
    value = await readJson(path);
  } catch (cause) {
    if (cause instanceof NotFoundError) return new Map();
    throw cause;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormatError(path, "expected an object of lengths by number, received another value");
  }
  const lengths = new Map<number, number>();
  for (const [key, length] of Object.entries(value)) {
    const fits = /^(0|[1-9]\d{0,14})$/.test(key) && Number.isSafeInteger(length) && length >= 0;
    if (!fits) throw new FormatError(path, `expected numbers of tokens, received "${key}": ${length}`);
    lengths.set(Number(key), length);
  }
  return lengths;
}

/**
 * Upstream's estimate where lengths are not known: by the size of each file beside the first, whose length after the
 * shift is known. Off for short samples, since files have a fixed part.
 */
export function lengthsBySize(sizes: readonly number[], firstLength: number): number[] {
  return sizes.map((size) => Math.ceil(size / sizes[0]! * (firstLength - 1)));
}
