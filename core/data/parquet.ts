/**
 * Records of a Parquet file. Rows of a group are decoded together, once, and kept on disk as lines of JSON: records are
 * asked for in random order, and decoding a group for each of them would take hours.
 *
 * @module
 */
import { FormatError, SpeculatorsError } from "../errors.ts";
import { openFile } from "../files.ts";
import type { AsyncBuffer, FileMetaData } from "./_hyparquet.ts";
import { RECORD_COLUMNS } from "./normalize.ts";
import type { RecordResult, RecordSource } from "./source.ts";

/** Most rows of a file: more cannot be numbered in 32 bits. */
const MAX_ROWS = 2 ** 31 - 1;
/** Most bytes that the rows of a group may take, uncompressed: it is decoded in memory. */
const MAX_GROUP_BYTES = 2 * 1024 ** 3;

/**
 * Opens a Parquet file that has one of the columns that conversations come in.
 *
 * @throws {NotFoundError} when it is not there
 * @throws {FormatError} when it is damaged or has none of the columns
 */
export async function openParquet(path: string): Promise<RecordSource> {
  const file = await openFile(path);
  try {
    const library = await import("./_hyparquet.ts");
    const buffer: AsyncBuffer = {
      byteLength: file.size,
      slice: async (from, to = file.size) => (await file.read(from, to - from)).buffer,
    };
    const metadata = await guarded(path, () => library.parquetMetadataAsync(buffer));
    const columns = columnsOf(metadata, path), groups = groupsOf(metadata, path);
    const spool = new Spool();
    const decoded = new Map<number, Promise<number>>();
    const decode = async (group: number): Promise<number> => {
      const { start, end } = groups[group]!;
      const rows = await guarded(path, () =>
        library.parquetReadObjects({
          file: buffer,
          metadata,
          columns,
          rowStart: start,
          rowEnd: end,
          compressors: library.compressors,
        }));
      if (rows.length !== end - start) {
        throw new FormatError(
          path,
          `expected ${end - start} rows in group ${group}, received ${rows.length}`,
        );
      }
      return await spool.append(rows.map((row) => JSON.stringify(row, plain)));
    };
    return {
      path,
      count: groups.at(-1)?.end ?? 0,
      async read(index): Promise<RecordResult> {
        const group = groups.findIndex(({ end }) => index < end), line = index + 1;
        let first = decoded.get(group);
        if (!first) decoded.set(group, first = decode(group));
        const text = await spool.read(await first + index - groups[group]!.start);
        return { record: JSON.parse(text) as Record<string, unknown>, line };
      },
      [Symbol.dispose]() {
        file[Symbol.dispose]();
        spool[Symbol.dispose]();
      },
    };
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

/** The columns that are read: what a record is known by, and what goes with it. */
function columnsOf(metadata: FileMetaData, path: string): string[] {
  const [root] = metadata.schema, names: string[] = [];
  // The schema is a tree in one list: skip what lies below each column.
  for (let at = 1, left = root?.num_children ?? 0; left > 0 && at < metadata.schema.length; left--) {
    names.push(metadata.schema[at]!.name);
    for (let open = 1; open > 0 && at < metadata.schema.length; at++) {
      open += (metadata.schema[at]!.num_children ?? 0) - 1;
    }
  }
  const known = names.filter((name) => RECORD_COLUMNS.includes(name));
  if (known.length > 0) return known;
  throw new FormatError(
    path,
    `expected a column "conversations" or "messages", received ${names.slice(0, 20).join(", ") || "none"}`,
    { hint: `Name the column of conversations as one of ${RECORD_COLUMNS.join(", ")}` },
  );
}

function groupsOf(metadata: FileMetaData, path: string): { start: number; end: number }[] {
  const groups: { start: number; end: number }[] = [];
  let start = 0;
  for (const group of metadata.row_groups) {
    const end = start + Number(group.num_rows), bytes = Number(group.total_byte_size);
    if (!(end >= start && end <= MAX_ROWS && bytes <= MAX_GROUP_BYTES)) {
      throw new FormatError(
        path,
        `expected groups of at most ${MAX_GROUP_BYTES} bytes and ${MAX_ROWS} rows in all, received one of ` +
          `${bytes} bytes and ${group.num_rows} rows`,
      );
    }
    if (end > start) groups.push({ start, end });
    start = end;
  }
  return groups;
}

/** Values that JSON lacks. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  return value instanceof Uint8Array ? undefined : value;
}

/** Runs the library, which throws plain errors at damaged files. */
async function guarded<T>(path: string, run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    if (cause instanceof SpeculatorsError) throw cause;
    throw new FormatError(path, `expected a Parquet file, received ${(cause as Error).message}`, { cause });
  }
}

/** Texts in a file without a name, by number. */
class Spool implements Disposable {
  readonly #starts: number[] = [];
  #size = 0;
  #file: Deno.FsFile | null = null;
  #path: string | null = null;
  #turn: Promise<unknown> = Promise.resolve();

  /** Adds texts; gives the number of the first one. */
  append(texts: readonly string[]): Promise<number> {
    return this.#inTurn(async () => {
      const first = this.#starts.length, encoder = new TextEncoder();
      this.#file ??= await this.#open();
      await this.#file.seek(this.#size, Deno.SeekMode.Start);
      for (const text of texts) {
        const bytes = encoder.encode(text);
        this.#starts.push(this.#size);
        for (let at = 0; at < bytes.length;) at += await this.#file.write(bytes.subarray(at));
        this.#size += bytes.length;
      }
      return first;
    });
  }

  /** The text of a number. */
  read(index: number): Promise<string> {
    return this.#inTurn(async () => {
      const start = this.#starts[index]!, end = this.#starts[index + 1] ?? this.#size;
      const bytes = new Uint8Array(end - start);
      await this.#file!.seek(start, Deno.SeekMode.Start);
      for (let at = 0; at < bytes.length;) at += await this.#file!.read(bytes.subarray(at)) ?? bytes.length;
      return new TextDecoder().decode(bytes);
    });
  }

  /** A file's place is one for all: each use waits for the one before. */
  #inTurn<T>(use: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(use);
    this.#turn = next.catch(() => {});
    return next;
  }

  async #open(): Promise<Deno.FsFile> {
    const path = await Deno.makeTempFile({ prefix: "records-" });
    const file = await Deno.open(path, { read: true, write: true });
    // Without its name it goes away with the process, however that ends; Windows removes no file that is open.
    if (Deno.build.os === "windows") this.#path = path;
    else await Deno.remove(path);
    return file;
  }

  [Symbol.dispose](): void {
    this.#file?.close();
    if (this.#path !== null) Deno.removeSync(this.#path);
  }
}
