/**
 * `token_freq.pt`: how often each token is trained on.
 *
 * @module
 */
import { basename, dirname, join, resolve } from "node:path";
import { FormatError } from "../errors.ts";
import { openTorch, writeTorch } from "../formats/torch.ts";
import type { TokenFrequencies } from "./vocabulary.ts";

/** Largest id that is taken. */
const MAX_ID = 2 ** 31 - 1;

/** Where the frequencies of a folder of samples lie when they are kept beside it. */
export function frequenciesBeside(folder: string): string {
  const path = resolve(folder);
  return join(dirname(path), `${basename(path)}.token_freq.pt`);
}

/**
 * Reads frequencies: a dict from id to count. The order is the file's.
 *
 * @throws {NotFoundError} when the file is not there
 * @throws {FormatError} when it holds something else
 */
export async function readFrequencies(path: string): Promise<TokenFrequencies> {
  using file = await openTorch(path);
  if (!(file.value instanceof Map)) {
    throw new FormatError(path, "expected a dict of counts by token id, received something else");
  }
  const frequencies: TokenFrequencies = new Map();
  for (const [id, count] of file.value) {
    const fits = Number.isInteger(id) && (id as number) >= 0 && (id as number) <= MAX_ID &&
      Number.isSafeInteger(count) && (count as number) >= 0;
    if (!fits) throw new FormatError(path, `expected counts by token id, received ${id}: ${count}`);
    frequencies.set(id as number, count as number);
  }
  return frequencies;
}

/**
 * Writes frequencies in one step, as upstream does: a plain dict from id to count.
 *
 * @throws {WriteError} when the file cannot be written
 */
export async function writeFrequencies(path: string, frequencies: TokenFrequencies): Promise<void> {
  await writeTorch(path, frequencies);
}
