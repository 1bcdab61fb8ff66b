/**
 * Files read with bounds and written all or nothing: a reader never sees a half-written file, and a crash leaves
 * the old content or the new.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { FormatError, NotFoundError, SpeculatorsError, WriteError } from "./errors.ts";

/** Largest file that {@linkcode readText} and {@linkcode readJson} take unless told otherwise. */
const MAX_TEXT_BYTES = 128 * 1024 * 1024;

/** How much may be read. */
export interface ReadTextOptions {
  /** Refuse a file larger than this; 128 MiB unless given. */
  readonly maxBytes?: number;
}

/** How {@linkcode writeJsonAtomic} lays out its text. */
export interface WriteJsonOptions {
  /** Spaces per level; 2 unless given, 0 for one line. */
  readonly indent?: number;
  /** End the file with a newline; true unless given. */
  readonly newline?: boolean;
}

/**
 * Replaces a file's content in one step; folders on the way are made.
 *
 * @throws {WriteError} when the file cannot be written; what was there stays
 */
export async function writeFileAtomic(path: string, data: Uint8Array | string): Promise<void> {
  await using file = await createAtomic(path);
  await file.write(typeof data === "string" ? new TextEncoder().encode(data) : data);
  await file.commit();
}

/**
 * Writes a value as JSON in one step.
 *
 * @throws {WriteError} when the value is not JSON's, or the file cannot be written
 */
export async function writeJsonAtomic(
  path: string,
  value: unknown,
  options: WriteJsonOptions = {},
): Promise<void> {
  let text: string | undefined;
  try {
    text = JSON.stringify(value, undefined, options.indent ?? 2);
  } catch (cause) {
    throw new WriteError(path, `expected a value that JSON can hold, received ${message(cause)}`, { cause });
  }
  if (text === undefined) {
    throw new WriteError(path, `expected a value that JSON can hold, received ${typeof value}`);
  }
  await writeFileAtomic(path, options.newline === false ? text : text + "\n");
}

/**
 * Reads a text file in UTF-8.
 *
 * @throws {NotFoundError} when it is not there
 * @throws {FormatError} when it is too large, no file, or not UTF-8
 */
export async function readText(path: string, options: ReadTextOptions = {}): Promise<string> {
  const maxBytes = options.maxBytes ?? MAX_TEXT_BYTES;
  using file = await openFile(path);
  if (file.size > maxBytes) {
    throw new FormatError(path, `expected at most ${maxBytes} bytes, received ${file.size}`);
  }
  const bytes = await file.read(0, file.size);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(path, "expected text in UTF-8, received other bytes", { cause });
  }
}

/**
 * Reads a JSON file.
 *
 * @throws {NotFoundError} when it is not there
 * @throws {FormatError} when it is too large or not JSON
 */
export async function readJson(path: string, options: ReadTextOptions = {}): Promise<unknown> {
  const text = await readText(path, options);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FormatError(path, `expected JSON, received ${message(cause)}`, { cause });
  }
}

/** A file open for reading by range. Reads may overlap in time; they take turns. */
export interface OpenFile extends Disposable {
  /** Its path, for messages. */
  readonly path: string;
  /** Its size in bytes when it was opened. */
  readonly size: number;
  /**
   * Reads exactly `length` bytes into memory of their own.
   *
   * @throws {FormatError} when the range does not lie within the file
   */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * Opens a file for reading by range.
 *
 * @throws {NotFoundError} when it is not there
 * @throws {FormatError} when it is a folder or cannot be read
 */
export async function openFile(path: string): Promise<OpenFile> {
  try {
    // Asked before opening: opening a pipe would wait for whoever writes to it.
    const info = await Deno.stat(path);
    if (!info.isFile) throw new FormatError(path, `expected a file, received ${kindOf(info)}`);
    return new RangeReader(path, await Deno.open(path, { read: true }), info.size);
  } catch (cause) {
    throw readError(path, cause);
  }
}

/** A file being written under a temporary name in the same folder. */
export interface AtomicFile extends AsyncDisposable {
  /** Appends bytes, which may be changed afterwards. Few bytes wait for more of them. */
  write(bytes: Uint8Array): Promise<void>;
  /** Flushes to disk and gives the file its name. Without it, disposal removes what was written. */
  commit(): Promise<void>;
}

/**
 * Begins a file that appears under its name only when it is complete; folders on the way are made.
 *
 * @throws {WriteError} when it cannot be created
 */
export async function createAtomic(path: string): Promise<AtomicFile> {
  const temporary = join(dirname(path), `.${basename(path)}.${crypto.randomUUID().slice(0, 8)}.tmp`);
  const options = { write: true, createNew: true };
  try {
    const handle = await Deno.open(temporary, options).catch(async (cause) => {
      if (!(cause instanceof Deno.errors.NotFound)) throw cause;
      await Deno.mkdir(dirname(path), { recursive: true });
      return await Deno.open(temporary, options);
    });
    return new PendingFile(path, temporary, handle);
  } catch (cause) {
    throw new WriteError(path, `expected a place to write to, received ${message(cause)}`, { cause });
  }
}

/** Removes what {@linkcode createAtomic} left in a folder when the program was killed in the middle of a file. */
export async function removeUnfinished(folder: string): Promise<void> {
  const names: string[] = [];
  try {
    for await (const { name, isFile } of Deno.readDir(folder)) {
      if (isFile && /^\..+\.[0-9a-f]{8}\.tmp$/.test(name)) names.push(name);
    }
    for (const name of names) await Deno.remove(join(folder, name));
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return;
    throw new WriteError(folder, `expected to remove unfinished files, received ${message(cause)}`, {
      cause,
    });
  }
}

/** Bytes that are read at once, without another thread. */
const SMALL_READ = 64 * 1024;

class RangeReader implements OpenFile {
  readonly path: string;
  readonly size: number;
  readonly #handle: Deno.FsFile;
  #last: Promise<unknown> = Promise.resolve();
  #open = true;

  constructor(path: string, handle: Deno.FsFile, size: number) {
    this.path = path;
    this.#handle = handle;
    this.size = size;
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const fits = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 &&
      length <= this.size - offset;
    if (!fits) {
      throw new FormatError(
        this.path,
        `expected bytes ${offset} to ${
          offset + length
        } to lie in the file, received a file of ${this.size} bytes`,
      );
    }
    // Seeking and reading are two steps on one handle: a second caller waits for both.
    const turn = this.#last.then(() => this.#readNow(offset, length));
    this.#last = turn.catch(() => {});
    return await turn;
  }

  async #readNow(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    if (!this.#open) throw new FormatError(this.path, "expected an open file, received a closed one");
    try {
      const bytes = new Uint8Array(length);
      if (length > 0 && length <= SMALL_READ) {
        // Another thread would take longer to be asked than this takes.
        this.#handle.seekSync(offset, Deno.SeekMode.Start);
        for (let done = 0; done < length;) {
          const count = this.#handle.readSync(bytes.subarray(done));
          if (count === null) throw this.#ended(offset, { wanted: length, done });
          done += count;
        }
        return bytes;
      }
      if (length > 0) this.#handle.seekSync(offset, Deno.SeekMode.Start); // asks no disk
      for (let done = 0; done < length;) {
        const count = await this.#handle.read(bytes.subarray(done));
        if (count === null) throw this.#ended(offset, { wanted: length, done });
        done += count;
      }
      return bytes;
    } catch (cause) {
      throw readError(this.path, cause);
    }
  }

  #ended(offset: number, { wanted, done }: { wanted: number; done: number }): FormatError {
    return new FormatError(this.path, `expected ${wanted} bytes at ${offset}, received ${done}`);
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#handle.close();
  }
}

/** Bytes that may wait to be written together: a write goes to another thread and back, and costs more than a copy. */
const WAITING_BYTES = 256 * 1024;

/** Buffers of files that are finished, for the next ones: collecting them comes too late where thousands are written. */
const spare: Uint8Array<ArrayBuffer>[] = [];
const MAX_SPARE = 8;

class PendingFile implements AtomicFile {
  readonly #path: string;
  readonly #temporary: string;
  readonly #handle: Deno.FsFile;
  /** Bytes that wait, at its beginning. */
  #buffer = new Uint8Array(0);
  #waiting = 0;
  #state: "open" | "closed" | "done" = "open";

  constructor(path: string, temporary: string, handle: Deno.FsFile) {
    this.#path = path;
    this.#temporary = temporary;
    this.#handle = handle;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#waiting + bytes.length > WAITING_BYTES) await this.#flush();
    if (bytes.length > WAITING_BYTES) return await this.#writeNow(bytes);
    if (this.#buffer.length === 0) this.#buffer = spare.pop() ?? new Uint8Array(WAITING_BYTES);
    this.#buffer.set(bytes, this.#waiting);
    this.#waiting += bytes.length;
  }

  async #flush(): Promise<void> {
    const bytes = this.#buffer.subarray(0, this.#waiting);
    this.#waiting = 0;
    await this.#writeNow(bytes);
  }

  async #writeNow(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) done += await this.#handle.write(bytes.subarray(done));
    } catch (cause) {
      throw new WriteError(this.#path, `expected to write it whole, received ${message(cause)}`, { cause });
    }
  }

  async commit(): Promise<void> {
    await this.#flush();
    try {
      await this.#handle.sync();
      this.#handle.close();
      this.#state = "closed";
      await Deno.rename(this.#temporary, this.#path);
      this.#state = "done";
    } catch (cause) {
      throw new WriteError(this.#path, `expected to write it whole, received ${message(cause)}`, { cause });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#buffer.length > 0 && spare.length < MAX_SPARE) spare.push(this.#buffer);
    this.#buffer = new Uint8Array(0);
    if (this.#state === "open") this.#handle.close();
    if (this.#state !== "done") await Deno.remove(this.#temporary).catch(() => {});
    this.#state = "done";
  }
}

function readError(path: string, cause: unknown): SpeculatorsError {
  if (cause instanceof SpeculatorsError) return cause;
  if (cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory) {
    return new NotFoundError(path, "expected a file, received nothing under that name", { cause });
  }
  return new FormatError(path, `expected a file that can be read, received ${message(cause)}`, { cause });
}

function kindOf(info: Deno.FileInfo): string {
  return info.isDirectory ? "a folder" : "something that is no file";
}

function message(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
