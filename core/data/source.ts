/**
 * Records of local data sets: JSONL, JSON and Parquet files, read one record at a time with limits.
 *
 * @module
 */
import { join } from "node:path";
import { FormatError, NotFoundError } from "../errors.ts";
import { openFile, readText } from "../files.ts";
import { indexLines } from "./_lines.ts";
import { openParquet } from "./parquet.ts";

/** A record, or why there is none at that place; `path` is its file where the source is several. */
export type RecordResult =
  & ({ readonly record: Readonly<Record<string, unknown>> } | { readonly rejected: string })
  & { readonly line: number; readonly path?: string };

/** Limits of a reader. */
export interface SourceOptions {
  /** Longest line of a JSONL file in bytes; 16 MiB unless given. Longer ones are rejected. */
  readonly maxLineBytes?: number;
  /** Largest JSON file in bytes, which is read as a whole; 1 GiB unless given. */
  readonly maxFileBytes?: number;
}

/** Records by number: a data set may be shuffled without being held in memory. */
export interface RecordSource extends Disposable {
  /** The file. */
  readonly path: string;
  /** Records, rejected ones counted. Blank lines are none. */
  readonly count: number;
  /**
   * Reads a record. `line` is its line, from 1; in a JSON array or a Parquet file its number, from 1.
   *
   * @throws {FormatError} when the file cannot be read any more
   */
  read(index: number): Promise<RecordResult>;
}

/**
 * Opens a `.jsonl`, `.json` or `.parquet` file, or all of those in a folder in order of their names.
 *
 * @throws {NotFoundError} when there is none
 * @throws {FormatError} when a JSON file is no array of records
 */
export async function openRecords(path: string, options: SourceOptions = {}): Promise<RecordSource> {
  const info = await Deno.stat(path).catch(() => null);
  if (info?.isDirectory) return await openFolder(path, options);
  if (/\.json$/i.test(path)) return await openJson(path, options);
  if (/\.parquet$/i.test(path)) return await openParquet(path);
  return await openJsonLines(path, options);
}

async function openJsonLines(path: string, options: SourceOptions): Promise<RecordSource> {
  const { maxLineBytes = 16 * 1024 * 1024 } = options;
  const lines = await indexLines(path);
  const file = await openFile(path);
  return {
    path,
    count: lines.starts.length,
    async read(index) {
      const line = lines.numbers[index]!;
      const length = lines.lengths[index]!;
      if (length > maxLineBytes) {
        return { rejected: "line is too long", line };
      }
      return parseLine(await file.read(lines.starts[index]!, length), line);
    },
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

async function openJson(path: string, options: SourceOptions): Promise<RecordSource> {
  const text = await readText(path, { maxBytes: options.maxFileBytes ?? 1024 ** 3 });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    // Some files named .json hold one record a line.
    if (/^\s*\{[^\n]*\}\s*\n\s*\{/.test(text)) return await openJsonLines(path, options);
    throw new FormatError(path, `expected JSON, received ${(cause as Error).message}`, { cause });
  }
  const records = Array.isArray(value) ? value : [value];
  return {
    path,
    count: records.length,
    read: (index) => Promise.resolve(asRecord(records[index], index + 1)),
    [Symbol.dispose]() {},
  };
}

async function openFolder(path: string, options: SourceOptions): Promise<RecordSource> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(path)) {
    if (entry.isFile && /\.(jsonl?|parquet)$/i.test(entry.name)) names.push(entry.name);
  }
  if (names.length === 0) {
    throw new NotFoundError(
      join(path, "*.jsonl"),
      "expected .jsonl or .json files in the folder, received none",
    );
  }
  return await openFiles(path, names.sort().map((name) => join(path, name)), options);
}

/** Opens several files as one data set, one after the other. */
export async function openFiles(
  path: string,
  files: readonly string[],
  options: SourceOptions = {},
): Promise<RecordSource> {
  const sources: RecordSource[] = [];
  try {
    for (const file of files) sources.push(await openRecords(file, options));
  } catch (cause) {
    for (const source of sources) source[Symbol.dispose]();
    throw cause;
  }
  return {
    path,
    count: sources.reduce((n, source) => n + source.count, 0),
    async read(index) {
      let left = index;
      const source = sources.find((s) => left < s.count || (left -= s.count, false))!;
      return { path: source.path, ...await source.read(left) };
    },
    [Symbol.dispose]() {
      for (const source of sources) source[Symbol.dispose]();
    },
  };
}

function parseLine(bytes: Uint8Array, line: number): RecordResult {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return { rejected: "not UTF-8", line };
  }
  try {
    return asRecord(JSON.parse(text), line);
  } catch {
    return { rejected: "not JSON", line };
  }
}

function asRecord(value: unknown, line: number): RecordResult {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? { record: value as Record<string, unknown>, line }
    : { rejected: "record is not an object", line };
}
