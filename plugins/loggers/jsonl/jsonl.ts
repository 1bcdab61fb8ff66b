/**
 * The file `metrics.jsonl`: a line with the run's name and settings, then a line a step.
 *
 * @module
 */
import { join } from "node:path";
import type { Logger, LoggerRun } from "../../../core/plugin.ts";
import { LogFile } from "../../_shared/log_file.ts";

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
  const log = new JsonlLogger(await LogFile.open(path, endOfLastLine));
  await log.write({ run: run.name, settings: run.settings });
  return log;
}

class JsonlLogger implements Logger {
  readonly #file: LogFile;
  readonly #start = performance.now();

  constructor(file: LogFile) {
    this.#file = file;
  }

  log(step: number, values: Readonly<Record<string, number>>): Promise<void> {
    const seconds = Math.round(performance.now() - this.#start) / 1000;
    return this.write({ step, seconds, ...values });
  }

  write(line: Readonly<Record<string, unknown>>): Promise<void> {
    return this.#file.write(new TextEncoder().encode(JSON.stringify(line) + "\n"));
  }

  close(): Promise<void> {
    return this.#file.close();
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
