/**
 * Weights & Biases' messages (wandb/proto/wandb_internal.proto), those of an offline run. As the package 0.31.0 has
 * them.
 *
 * @module
 */
import { Message } from "../../_shared/protobuf.ts";

/** A message that still lacks its number in the file. */
type Numbered = (number: number) => Message;

/** What an offline run says of itself. */
export interface WandbRun {
  /** Eight letters and digits. */
  readonly id: string;
  /** Its project. */
  readonly project: string;
  /** Its name and that of its group. */
  readonly name: string;
  /** Its settings. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Milliseconds since 1970. */
  readonly start: number;
}

/** The record that every file begins with. */
export function headerRecord(): Numbered {
  const version = new Message().bytes(1, "speculators-deno").bytes(2, "0.70.0");
  return (number) => new Message().varint(1, number).bytes(21, new Message().bytes(1, version));
}

/** The run and its settings. */
export function runRecord(run: WandbRun): Numbered {
  const config = new Message();
  const add = (key: string, value: unknown): void => {
    const json = JSON.stringify(value);
    if (json !== undefined) config.bytes(1, new Message().bytes(1, key).bytes(16, json));
  };
  add("_wandb", {});
  for (const [key, value] of Object.entries(run.settings)) add(key, value);
  const start = new Message().varint(1, Math.floor(run.start / 1000)).varint(2, run.start % 1000 * 1e6);
  const record = new Message().bytes(1, run.id).bytes(3, run.project).bytes(4, config)
    .bytes(6, run.name).bytes(8, run.name).bytes(17, start);
  return (number) => new Message().varint(1, number).bytes(17, record);
}

/** A step's numbers. */
export function historyRecord(step: number, values: Readonly<Record<string, number>>): Numbered {
  const history = items(values, 2).bytes(2, new Message().varint(1, step));
  return (number) => new Message().varint(1, number).bytes(2, history);
}

/** The newest numbers, which the table of runs shows. */
export function summaryRecord(values: Readonly<Record<string, number>>): Numbered {
  return (number) => new Message().varint(1, number).bytes(3, items(values, 2));
}

/** The end of a run. */
export function exitRecord(code: number): Numbered {
  return (number) => new Message().varint(1, number).bytes(18, new Message().varint(1, code));
}

/** Items of a history or a summary: a name without a path, and a value in JSON with NaN and infinity. */
function items(values: Readonly<Record<string, number>>, name: number): Message {
  const all = new Message();
  for (const [key, value] of Object.entries(values)) {
    const json = Number.isFinite(value)
      ? String(value)
      : Number.isNaN(value)
      ? "NaN"
      : value > 0
      ? "Infinity"
      : "-Infinity";
    all.bytes(1, new Message().bytes(name, key).bytes(16, json));
  }
  return all;
}
