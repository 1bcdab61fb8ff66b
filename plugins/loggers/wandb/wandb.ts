/** Offline runs of Weights & Biases. */
import { join } from "node:path";
import type { Logger, LoggerRun } from "../../../core/plugin.ts";
import { LogFile } from "../../_shared/log_file.ts";
import type { Message } from "../../_shared/protobuf.ts";
import { FILE_HEADER, framed } from "./blocks.ts";
import { exitRecord, headerRecord, historyRecord, runRecord, summaryRecord } from "./records.ts";

/**
 * Opens an offline run in `wandb/` below the run's folder. No network and no key is used: `wandb sync` uploads it, later
 * or while it grows. Each start of the program is a run of its own, those of one name are a group. The project is that of
 * `WANDB_PROJECT`, as Weights & Biases' own client has it.
 *
 * @throws {WriteError} when the file cannot be opened or written
 */
export async function openWandb(run: LoggerRun): Promise<Logger> {
  const start = Date.now(), id = newId();
  const stamp = new Date(start).toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "_");
  const folder = join(run.folder, "wandb", `offline-run-${stamp}-${id}`);
  const file = await LogFile.open(join(folder, `run-${id}.wandb`));
  const log = new WandbLogger(file, start);
  try {
    await file.write(Uint8Array.from(FILE_HEADER));
    await log.put(headerRecord());
    await log.put(runRecord({ id, project: project(), name: run.name, settings: run.settings, start }));
    await Deno.mkdir(join(folder, "files"), { recursive: true });
  } catch (error) {
    await file.close().catch(() => {});
    throw error;
  }
  return log;
}

class WandbLogger implements Logger {
  readonly #file: LogFile;
  readonly #start: number;
  #records = 0;
  #pending: { readonly step: number; readonly values: Record<string, number> } | null = null;

  constructor(file: LogFile, start: number) {
    this.#file = file;
    this.#start = start;
  }

  put(record: (number: number) => Message): Promise<void> {
    const bytes = record(++this.#records).encode();
    return this.#file.write((at) => framed(bytes, at));
  }

  /** Weights & Biases has one row a step: what is told of the same step goes into it. */
  async log(step: number, values: Readonly<Record<string, number>>): Promise<void> {
    if (this.#pending?.step === step) {
      Object.assign(this.#pending.values, values);
      return;
    }
    await this.#flush();
    this.#pending = { step, values: { ...values } };
  }

  async close(): Promise<void> {
    try {
      await this.#flush();
      await this.put(exitRecord(0));
    } finally {
      await this.#file.close();
    }
  }

  async #flush(): Promise<void> {
    if (!this.#pending) return;
    const { step, values } = this.#pending, now = Date.now();
    this.#pending = null;
    const row = { ...values, _step: step, _timestamp: now / 1000, _runtime: (now - this.#start) / 1000 };
    await this.put(historyRecord(step, row));
    await this.put(summaryRecord(row));
  }
}

/** Eight letters and digits, as Weights & Biases names runs. */
function newId(): string {
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => letters[byte % letters.length]).join(
    "",
  );
}

function project(): string {
  const { state } = Deno.permissions.querySync({ name: "env", variable: "WANDB_PROJECT" });
  return (state === "granted" ? Deno.env.get("WANDB_PROJECT") : undefined) || "speculators";
}
