/**
 * The numbers of a run, in as much memory after a million steps as after a thousand.
 *
 * @module
 */
import type { MetricsEvent } from "../events.ts";

/** Points kept of a series: when there are twice as many, each two become their mean. */
const POINTS = 500;

/** Series and validations kept; a run has some dozens of the one and some hundreds of the other. */
const MOST_SERIES = 500, MOST_EPOCHS = 2_000;

/** A series of numbers, thinned out. */
export interface HistorySeries {
  /** Steps, ascending. */
  readonly x: number[];
  /** Numbers, or means of several; `null` where there was none. */
  readonly y: (number | null)[];
  /** Numbers behind each point. */
  stride: number;
  /** Sum of all numbers there were. */
  total: number;
}

/** The numbers of a validation. */
export interface HistoryEpoch {
  /** Epoch, from 0. */
  readonly epoch: number;
  /** Steps before it. */
  readonly step: number;
  /** The numbers. */
  readonly values: Readonly<Record<string, number | null>>;
}

/** What a history is kept as. */
export interface HistoryData {
  /** Of this form. */
  readonly version: 1;
  /** By split and name, `train/loss_0`. */
  readonly series: Readonly<Record<string, HistorySeries>>;
  /** Validations. */
  readonly epochs: readonly HistoryEpoch[];
}

/** What takes part in {@linkcode RunHistory.take}. */
export type Numbers = Pick<MetricsEvent, "split" | "step" | "epoch"> & {
  /** The numbers; `null` as one that JSON could not hold. */
  readonly values: Readonly<Record<string, number | null>>;
};

/** Keeps the numbers of a run. */
export class RunHistory {
  readonly #series = new Map<string, HistorySeries>();
  readonly #waiting = new Map<string, { x: number; sum: number; known: number; count: number }>();
  readonly #epochs: HistoryEpoch[] = [];
  #trained = -1;

  /** Goes on from an earlier history, as {@linkcode readHistory} gives it. */
  constructor(before: HistoryData | null = null) {
    if (before === null) return;
    for (const [name, one] of Object.entries(before.series)) {
      this.#series.set(name, { ...one, x: [...one.x], y: [...one.y] });
      if (name.startsWith("train/")) this.#trained = Math.max(this.#trained, one.x.at(-1) ?? -1);
    }
    this.#epochs.push(...before.epochs);
  }

  /** Takes numbers. A step of training that was there already is one that is done again: what came after it is dropped. */
  take({ split, step, epoch, values }: Numbers): void {
    if (split === "train") {
      if (step <= this.#trained) this.#cut(step);
      this.#trained = step;
    }
    for (const [name, value] of Object.entries(values)) this.#add(`${split}/${name}`, step, value);
    if (split !== "val") return;
    while (this.#epochs.length > 0 && this.#epochs.at(-1)!.step >= step) this.#epochs.pop();
    if (this.#epochs.length < MOST_EPOCHS) this.#epochs.push({ epoch, step, values });
  }

  /** Validations in order. */
  get epochs(): readonly HistoryEpoch[] {
    return this.#epochs;
  }

  /** Names of the series, in the order of their first numbers. */
  get names(): readonly string[] {
    return [...this.#series.keys()];
  }

  /** A series with its newest numbers, or `null` where there is none of the name. */
  series(name: string): HistorySeries | null {
    const one = this.#series.get(name);
    if (!one) return null;
    const waiting = this.#waiting.get(name), { x, y, stride, total } = one;
    if (!waiting) return { x: [...x], y: [...y], stride, total };
    return { x: [...x, waiting.x], y: [...y, mean(waiting)], stride, total };
  }

  /** The newest number of a series. */
  last(name: string): number | null {
    return this.series(name)?.y.findLast((value) => value !== null) ?? null;
  }

  /** The history in a form that JSON holds. */
  toJSON(): HistoryData {
    const series = Object.fromEntries(this.names.map((name) => [name, this.series(name)!]));
    return { version: 1, series, epochs: this.#epochs };
  }

  #add(name: string, step: number, value: number | null): void {
    let one = this.#series.get(name);
    if (!one) {
      if (this.#series.size >= MOST_SERIES) return;
      this.#series.set(name, one = { x: [], y: [], stride: 1, total: 0 });
    }
    const waiting = this.#waiting.get(name) ?? { x: step, sum: 0, known: 0, count: 0 };
    this.#waiting.set(name, waiting);
    waiting.count++;
    if (value !== null && Number.isFinite(value)) {
      waiting.sum += value;
      waiting.known++;
      one.total += value;
    }
    if (waiting.count < one.stride) return;
    this.#waiting.delete(name);
    one.x.push(waiting.x);
    one.y.push(mean(waiting));
    if (one.x.length >= 2 * POINTS) thin(one);
  }

  #cut(step: number): void {
    this.#waiting.clear();
    for (const [name, one] of this.#series) {
      // Numbers of a validation are of the steps before it.
      const keep = one.x.findIndex((x) => name.startsWith("train/") ? x >= step : x > step);
      if (keep === -1) continue;
      one.x.length = one.y.length = keep;
    }
    while (this.#epochs.length > 0 && this.#epochs.at(-1)!.step > step) this.#epochs.pop();
  }
}

/**
 * Looks whether something is a history.
 *
 * @returns it, or `null` where it is none: a report of another version, or a changed one
 */
export function readHistory(value: unknown): HistoryData | null {
  const { version, series, epochs } = recordOf(value) ?? {};
  if (version !== 1 || !Array.isArray(epochs) || epochs.length > MOST_EPOCHS) return null;
  const all = Object.entries(recordOf(series) ?? {});
  const sound = all.length <= MOST_SERIES && all.every(([, one]) => isSeries(one)) && epochs.every(isEpoch);
  return sound ? value as HistoryData : null;
}

function isSeries(value: unknown): boolean {
  const { x, y, stride, total } = recordOf(value) ?? {};
  return Array.isArray(x) && Array.isArray(y) && x.length === y.length && x.length <= 2 * POINTS &&
    x.every(Number.isFinite) && y.every((one) => one === null || Number.isFinite(one)) &&
    Number.isSafeInteger(stride) && Number(stride) >= 1 && Number.isFinite(total);
}

function isEpoch(value: unknown): boolean {
  const { epoch, step, values } = recordOf(value) ?? {};
  return Number.isFinite(epoch) && Number.isFinite(step) &&
    Object.values(recordOf(values) ?? { none: "" }).every((one) => one === null || Number.isFinite(one));
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Readonly<Record<string, unknown>>
    : null;
}

function mean({ sum, known }: { readonly sum: number; readonly known: number }): number | null {
  return known === 0 ? null : sum / known;
}

function thin(one: HistorySeries): void {
  const half = one.x.length >> 1;
  for (let i = 0; i < half; i++) {
    const pair = [one.y[2 * i]!, one.y[2 * i + 1]!].filter((value) => value !== null);
    one.x[i] = one.x[2 * i]!;
    one.y[i] = mean({ sum: pair.reduce((a, b) => a + b, 0), known: pair.length });
  }
  one.x.length = one.y.length = half;
  one.stride *= 2;
}
