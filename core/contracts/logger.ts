/** The contract of a logger: it takes a run's numbers. */
import type { PluginHeader } from "./header.ts";

/** Takes the numbers of a run. */
export interface LoggerPlugin extends PluginHeader<"logger"> {
  /** Starts a run. */
  open(run: LoggerRun): Promise<Logger>;
}

/** A run to be logged. */
export interface LoggerRun {
  /** Its name. */
  readonly name: string;
  /** Folder for files. */
  readonly folder: string;
  /** Its settings. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** An open log. */
export interface Logger {
  /** Values of a step, e.g. `train/loss_0`. */
  log(step: number, values: Readonly<Record<string, number>>): Promise<void>;
  /** Writes what is left. */
  close(): Promise<void>;
}
