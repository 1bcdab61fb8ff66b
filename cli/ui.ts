/**
 * What a person sees: tables and progress. Plain lines where the output is no terminal; colours only where one
 * is and `NO_COLOR` is not set. Results go to standard output, all else to standard error.
 *
 * @module
 */
import type { StageEvent } from "../mod.ts";

/** Where text goes. */
export interface Output {
  /** Writes as it is. */
  write(text: string): void;
  /** Whether a line can be rewritten. */
  readonly terminal: boolean;
  /** Whether colours are wanted. */
  readonly colour: boolean;
}

/** Standard output or standard error. When nobody reads it any more, `onBroken` is told, and no more is written. */
export function standard(stream: "stdout" | "stderr", onBroken?: (error: Error) => void): Output {
  const encoder = new TextEncoder(), target = Deno[stream], terminal = target.isTerminal();
  let broken = false;
  return {
    terminal,
    colour: terminal && !Deno.noColor,
    write(text) {
      try {
        let bytes = broken ? new Uint8Array() : encoder.encode(text);
        while (bytes.length > 0) bytes = bytes.subarray(target.writeSync(bytes));
      } catch (error) {
        if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
        broken = true;
        onBroken?.(error);
      }
    },
  };
}

/** Ways to set text off. */
export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

const CODES: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

/** Text in a style, where the output takes colours. */
export function style(out: Output, name: Style, text: string): string {
  const [on, off] = CODES[name];
  return out.colour ? `\x1b[${on}m${text}\x1b[${off}m` : text;
}

/** Columns as wide as their content; those of numbers, their head (the first row) too, to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, cell.length));
  const body = rows.length > 1 ? rows.slice(1) : rows;
  const right = widths.map((_, i) => body.every((row) => /^[-+]?[\d.,]+(%|x| ×)?$|^–$/.test(row[i] ?? "")));
  return rows.map((row) =>
    row.map((cell, i) => right[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))
      .join("  ").trimEnd() + "\n"
  ).join("");
}

/** JSON for people: indented, but lists of numbers and words on one line. */
export function prettyJson(value: unknown, indent = ""): string {
  const inner = `${indent}  `;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) {
    const items = value.map((item) => prettyJson(item, inner));
    const flat = value.every((item) => typeof item !== "object" || item === null);
    return flat ? `[${items.join(", ")}]` : `[\n${inner}${items.join(`,\n${inner}`)}\n${indent}]`;
  }
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
    .map(([key, item]) => `${JSON.stringify(key)}: ${prettyJson(item, inner)}`);
  return entries.length === 0 ? "{}" : `{\n${inner}${entries.join(`,\n${inner}`)}\n${indent}}`;
}

/** Seconds as `m:ss` or `h:mm:ss`. */
export function clock(seconds: number): string {
  const s = Math.max(0, Math.round(seconds)), two = (n: number) => String(n).padStart(2, "0");
  const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return h > 0 ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

/** Bytes in words. */
export function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; bytes >= 1024 && i < units.length - 1; i++) bytes /= 1024;
  return `${i === 0 ? bytes : bytes.toPrecision(3)} ${units[i]}`;
}

const REDRAW_MS = 100, PLAIN_MS = 5000;

/** Shows the events of stages: one line a stage, rewritten on a terminal, repeated every few seconds elsewhere. */
export class Progress {
  readonly #out: Output;
  readonly #now: () => number;
  #stage = "";
  #start = 0;
  #first = 0;
  #shown = -Infinity;
  #line = "";
  #printed = "";

  /** @param out where lines go, usually standard error */
  constructor(out: Output, options: { readonly now?: () => number } = {}) {
    this.#out = out;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Takes an event. */
  show(event: StageEvent): void {
    if (event.type === "note") {
      this.end();
      const mark = event.level === "warning" ? style(this.#out, "yellow", "warning") : event.stage;
      this.#out.write(`${mark}: ${event.text}\n`);
      return;
    }
    if (event.type !== "progress") return;
    const now = this.#now();
    if (event.stage !== this.#stage) {
      this.end();
      this.#stage = event.stage;
      this.#start = now;
      this.#first = event.done;
      this.#shown = -Infinity;
    }
    const { done, total, unit, detail } = event, seconds = (now - this.#start) / 1000;
    const rate = seconds > 0 ? (done - this.#first) / seconds : 0;
    const finished = total !== null && done >= total;
    const parts = [
      event.stage.padEnd(10),
      ...(total === null ? [] : [bar(total === 0 ? 1 : done / total)]),
      `${done}${total === null ? "" : `/${total}`} ${unit}`,
      ...(rate > 0 ? [`${rate >= 100 ? rate.toFixed(0) : rate.toPrecision(3)}/s`] : []),
      ...(finished
        ? [`in ${clock(seconds)}`]
        : total !== null && rate > 0
        ? [`${clock((total - done) / rate)} left`]
        : []),
      ...(detail ? [detail] : []),
    ];
    this.#line = parts.join("  ");
    if (finished) return this.end();
    if (now - this.#shown < (this.#out.terminal ? REDRAW_MS : PLAIN_MS)) return;
    this.#shown = now;
    this.#printed = this.#line;
    this.#out.write(this.#out.terminal ? `\r\x1b[K${this.#line}` : `${this.#line}\n`);
  }

  /** Ends the line of the current stage. */
  end(): void {
    if (this.#line === "") return;
    if (this.#out.terminal) this.#out.write(`\r\x1b[K${this.#line}\n`);
    else if (this.#line !== this.#printed) this.#out.write(`${this.#line}\n`);
    this.#line = "";
    this.#printed = "";
    this.#stage = "";
  }
}

function bar(share: number): string {
  const width = 20, full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return "█".repeat(full) + "░".repeat(width - full);
}
