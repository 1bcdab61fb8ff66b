/**
 * The file `metrics.jsonl`: a line with the run's name and settings, then a line a step.
 *
 * @module
 */
import { join } from "node:path";
import { WriteError } from "../../../core/errors.ts";
import type { Logger, LoggerRun } from "../../../core/plugin.ts";

const NEWLINE = 0x0a;

/** Bytes read at once when the end of the last whole line is looked for. */
const BLOCK = 64 * 1024;

/**
 * Opens the log of a run. A log that is there is continued; a line that a crash cut off is removed from its end.
 * Each line is written whole in one call. A number that JSON cannot hold (NaN, infinity) becomes `null`.
 *
 * @throws {WriteError} when the file cannot be opened or written
 */
export async function openJsonl(run: LoggerRun): Promise<Logger> {
  const path = join(run.folder, "metrics.jsonl");
  const log = await JsonlLogger.open(path);
  await log.write({ run: run.name, settings: run.settings });
  return log;
}

class JsonlLogger implements Logger {
  readonly #path: string;
  readonly #file: Deno.FsFile;
  readonly #start = performance.now();
  #last: Promise<void> = Promise.resolve();

  private constructor(path: string, file: Deno.FsFile) {
    this.#path = path;
    this.#file = file;
  }

  static async open(path: string): Promise<JsonlLogger> {
    let file: Deno.FsFile | undefined;
    try {
      await Deno.mkdir(join(path, ".."), { recursive: true });
      file = await Deno.open(path, { read: true, write: true, create: true });
      await file.truncate(await endOfLastLine(file));
      await file.seek(0, Deno.SeekMode.End);
      return new JsonlLogger(path, file);
    } catch (cause) {
      file?.close();
      throw writeError(path, cause);
    }
  }

  log(step: number, values: Readonly<Record<string, number>>): Promise<void> {
    const seconds = Math.round(performance.now() - this.#start) / 1000;
    return this.write({ step, seconds, ...values });
  }

  /** Appends a line; lines keep the order of the calls. */
  write(line: Readonly<Record<string, unknown>>): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify(line) + "\n");
    const turn = this.#last.then(() => this.#append(bytes));
    this.#last = turn.catch(() => {});
    return turn;
  }

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

  async #append(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) done += await this.#file.write(bytes.subarray(done));
    } catch (cause) {
      throw writeError(this.#path, cause);
    }
  }
}

/** Bytes up to and with the last newline. */
async function endOfLastLine(file: Deno.FsFile): Promise<number> {
  const { size } = await file.stat();
  const block = new Uint8Array(BLOCK);
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - BLOCK);
    const part = block.subarray(0, end - start);
    await file.seek(start, Deno.SeekMode.Start);
    for (let done = 0; done < part.length;) {
      const count = await file.read(part.subarray(done));
      if (count === null) return 0;
      done += count;
    }
    const newline = part.lastIndexOf(NEWLINE);
    if (newline !== -1) return start + newline + 1;
    end = start;
  }
  return 0;
}

function writeError(path: string, cause: unknown): WriteError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new WriteError(path, `expected a file to write lines to, received ${reason}`, { cause });
}
