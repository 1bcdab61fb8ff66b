/** The file that grows by a line a conversation, and goes on after it was cut off. */
import { dirname } from "node:path";
import { indexLines } from "../data/_lines.ts";
import { ConfigError, FormatError, WriteError } from "../errors.ts";
import { openFile } from "../files.ts";

/** Longest line that is read back. */
const MAX_LINE = 256 * 1024 * 1024;

/** An open output. */
export interface Output extends AsyncDisposable {
  /** Names of the conversations in it when it was opened. */
  readonly ids: ReadonlySet<string>;
  /** Who wrote them, as far as they say. */
  readonly models: ReadonlySet<string>;
  /** Appends a record whose `id` is its name. */
  append(record: Readonly<Record<string, unknown>>): Promise<void>;
}

/**
 * Opens the output, for this run alone. With `resume`, a file that is there is gone on with; a last line without its end
 * is dropped.
 *
 * @throws {ConfigError} when it is there and not to be gone on with, or another run writes to it
 * @throws {FormatError} when what is there is no such file
 * @throws {WriteError} when it cannot be written
 */
export async function openOutput(path: string, options: { readonly resume: boolean }): Promise<Output> {
  const file = await open(path);
  try {
    if (!await file.tryLock(true)) {
      throw new ConfigError("outfile", `expected a file that no other run writes to, received "${path}"`, {
        hint: "Wait for the other run, stop it, or name another file",
      });
    }
    const { size } = await file.stat();
    if (size > 0 && !options.resume) {
      throw new ConfigError("outfile", `expected a new file, received "${path}", which is there`, {
        hint: "Go on with it by --resume, remove it, or name another file",
      });
    }
    const there = await readBack(path, size);
    if (there.end < size) await file.truncate(there.end);
    return new LineFile(path, { file, ...there });
  } catch (error) {
    file.close();
    throw error;
  }
}

async function open(path: string): Promise<Deno.FsFile> {
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    return await Deno.open(path, { read: true, write: true, create: true });
  } catch (cause) {
    throw new WriteError(path, `expected a file to write to, received ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** What is in the file, and where its last whole line ends. */
interface ReadBack {
  readonly ids: ReadonlySet<string>;
  readonly models: ReadonlySet<string>;
  readonly end: number;
}

async function readBack(path: string, size: number): Promise<ReadBack> {
  const ids = new Set<string>(), models = new Set<string>();
  if (size === 0) return { ids, models, end: 0 };
  const { starts, lengths, numbers } = await indexLines(path);
  using file = await openFile(path);
  for (const [i, start] of starts.entries()) {
    const length = lengths[i]!;
    if (start + length >= size) return { ids, models, end: start }; // no newline: it was cut off
    const found = length > MAX_LINE ? null : told(new TextDecoder().decode(await file.read(start, length)));
    if (found === null) {
      throw new FormatError(
        path,
        `expected a record with an id in line ${numbers[i]}, received something else`,
        {
          hint: "This is no output of regenerate, or it is damaged: name another file",
        },
      );
    }
    ids.add(found.id);
    if (found.model !== undefined) models.add(found.model);
  }
  return { ids, models, end: size };
}

/** The name of a record and of the model that answered it; `null` when the line is none. */
function told(line: string): { readonly id: string; readonly model?: string } | null {
  try {
    const { id, metadata } = JSON.parse(line), model = metadata?.model;
    if (typeof id !== "string" && typeof id !== "number") return null;
    return { id: String(id), ...(typeof model === "string" ? { model } : {}) };
  } catch {
    return null;
  }
}

class LineFile implements Output {
  readonly ids: ReadonlySet<string>;
  readonly models: ReadonlySet<string>;
  readonly #path: string;
  readonly #file: Deno.FsFile;
  #end: number;

  constructor(path: string, what: ReadBack & { readonly file: Deno.FsFile }) {
    this.#path = path;
    this.#file = what.file;
    this.ids = what.ids;
    this.models = what.models;
    this.#end = what.end;
  }

  async append(record: Readonly<Record<string, unknown>>): Promise<void> {
    const bytes = new TextEncoder().encode(`${JSON.stringify(record)}\n`);
    try {
      await this.#file.seek(this.#end, Deno.SeekMode.Start);
      for (let done = 0; done < bytes.length;) done += await this.#file.write(bytes.subarray(done));
      this.#end += bytes.length;
    } catch (cause) {
      // A full disk takes half a line; what is whole stays.
      await this.#file.truncate(this.#end).catch(() => {});
      throw new WriteError(this.#path, `expected to add a line, received ${(cause as Error).message}`, {
        cause,
        hint: "Make room there, and go on with --resume",
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.sync().catch(() => {});
    // Nothing came: no empty file is left that the next run would have to be told of.
    if (this.#end === 0) await Deno.remove(this.#path).catch(() => {});
    this.#file.close();
  }
}
