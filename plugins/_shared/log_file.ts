/** A file that records are appended to while a run goes on. */
import { dirname } from "node:path";
import { WriteError } from "../../core/errors.ts";

/**
 * A file of records: they keep the order of the calls, each is written whole, and one that fails in the middle (a full
 * disk) is cut off again, so that what follows can still be read.
 */
export class LogFile {
  readonly #path: string;
  readonly #file: Deno.FsFile;
  #size: number;
  #last: Promise<void> = Promise.resolve();

  private constructor(path: string, file: Deno.FsFile, size: number) {
    this.#path = path;
    this.#file = file;
    this.#size = size;
  }

  /**
   * Opens a file at its end; folders on the way are made.
   *
   * @param keep tells how many bytes of a file that is there are kept; without it, the file has to be new
   * @throws {WriteError} when it cannot be opened
   */
  static async open(path: string, keep?: (file: Deno.FsFile) => Promise<number>): Promise<LogFile> {
    let file: Deno.FsFile | undefined;
    try {
      await Deno.mkdir(dirname(path), { recursive: true });
      file = await Deno.open(path, { read: true, write: true, create: true, createNew: keep === undefined });
      const size = keep ? await keep(file) : 0;
      await cut(file, size);
      return new LogFile(path, file, size);
    } catch (cause) {
      file?.close();
      throw writeError(path, cause);
    }
  }

  /** Bytes of the whole records so far. */
  get size(): number {
    return this.#size;
  }

  /**
   * Appends a record.
   *
   * @param record its bytes, or how they are made from the place in the file where they begin
   * @throws {WriteError} when it cannot be written
   */
  write(record: Uint8Array | ((at: number) => Uint8Array)): Promise<void> {
    const turn = this.#last.then(() => this.#append(record));
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Writes what is left to the disk. */
  async close(): Promise<void> {
    await this.#last;
    try {
      await this.#file.sync();
    } catch (cause) {
      throw writeError(this.#path, cause);
    } finally {
      this.#file.close();
    }
  }

  async #append(record: Uint8Array | ((at: number) => Uint8Array)): Promise<void> {
    const bytes = typeof record === "function" ? record(this.#size) : record;
    try {
      for (let done = 0; done < bytes.length;) done += await this.#file.write(bytes.subarray(done));
      this.#size += bytes.length;
    } catch (cause) {
      await cut(this.#file, this.#size).catch(() => {});
      throw writeError(this.#path, cause);
    }
  }
}

async function cut(file: Deno.FsFile, size: number): Promise<void> {
  await file.truncate(size);
  await file.seek(size, Deno.SeekMode.Start);
}

function writeError(path: string, cause: unknown): WriteError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new WriteError(path, `expected a file to append to, received ${reason}`, { cause });
}
