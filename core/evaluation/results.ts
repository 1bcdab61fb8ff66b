/**
 * `results.json`: what an evaluation found, in a form that stays. A reader takes any file of its version; fields may be added
 * within a version, none is renamed, left out or given another meaning.
 *
 * @module
 */
import { join } from "node:path";
import { FormatError } from "../errors.ts";
import { readJson } from "../files.ts";
import type { LoadSummary } from "../load/summary.ts";
import type { EvaluationFigures } from "./figures.ts";

/** Name of the form. */
export const RESULTS_SCHEMA = "speculators-evaluation";

/** Its version. */
export const RESULTS_VERSION = 1;

/** Figures of one data set. */
export interface DataSetFigures extends EvaluationFigures {
  /** Its name. */
  readonly name: string;
}

/** How a server did under one load. */
export interface SweepPoint extends
  Pick<
    LoadSummary,
    | "completed"
    | "refused"
    | "failed"
    | "requests_per_second"
    | "output_tokens"
    | "output_tokens_per_second"
    | "time_to_first_token_ms"
    | "time_per_output_token_ms"
    | "latency_ms"
  > {
  /** The data set that was asked. */
  readonly data_set: string;
  /** `concurrency`: so many clients; `constant`: so many requests a second; or what another tool calls its own. */
  readonly strategy: string;
  /** How many; `null` where the tool sets none. */
  readonly target: number | null;
  /** Tokens a round during it; `null` where nobody counted. */
  readonly mean_accepted_length: number | null;
}

/** An evaluation. */
export interface EvaluationRun {
  /** {@linkcode RESULTS_SCHEMA}. */
  readonly schema: typeof RESULTS_SCHEMA;
  /** {@linkcode RESULTS_VERSION}. */
  readonly version: typeof RESULTS_VERSION;
  /** What it is called in comparisons. */
  readonly name: string;
  /** When it ended, ISO 8601. */
  readonly created: string;
  /** Where it ran. */
  readonly engine: string;
  /** The verifier; `null` where only a server or a log knows it. */
  readonly base: string | null;
  /** The speculator; `null` likewise. */
  readonly speculator: string | null;
  /** Its settings. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Whether all texts were those of the verifier alone; `null` where nobody compared. */
  readonly identical: boolean | null;
  /** Figures of all data sets together. */
  readonly all: EvaluationFigures;
  /** Those of each. */
  readonly data_sets: readonly DataSetFigures[];
  /** Loads, lightest first; empty where none was asked for. */
  readonly sweep: readonly SweepPoint[];
}

/** Largest file that is read. */
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * Reads the results of an evaluation: a file, or a folder with `results.json`.
 *
 * @throws {NotFoundError} when there is none
 * @throws {FormatError} when the file is another one, or damaged
 */
export async function readResults(path: string): Promise<EvaluationRun> {
  const isFolder = await Deno.stat(path).then((info) => info.isDirectory, () => false);
  const file = isFolder ? join(path, "results.json") : path;
  const value = await readJson(file, { maxBytes: MAX_BYTES });
  const run = objectOf(value, { file, at: "the file" });
  if (run.schema !== RESULTS_SCHEMA || run.version !== RESULTS_VERSION) {
    throw new FormatError(
      file,
      `expected schema ${RESULTS_SCHEMA} of version ${RESULTS_VERSION}, received ${
        JSON.stringify(run.schema) ?? "none"
      } of ${JSON.stringify(run.version) ?? "none"}`,
      { hint: "Give a results.json that evaluate --output-dir wrote" },
    );
  }
  for (const name of ["name", "created", "engine"]) {
    if (typeof run[name] !== "string") throw unusable(file, name, "a text", run[name]);
  }
  checkFigures(run.all, { file, at: "all" });
  listOf(run.data_sets, { file, at: "data_sets" }).forEach((set, i) => {
    checkFigures(set, { file, at: `data_sets[${i}]` });
    if (typeof objectOf(set, { file, at: "data_sets" }).name !== "string") {
      throw unusable(file, `data_sets[${i}].name`, "a text", set);
    }
  });
  listOf(run.sweep, { file, at: "sweep" }).forEach((point, i) =>
    checkPoint(point, { file, at: `sweep[${i}]` })
  );
  objectOf(run.settings, { file, at: "settings" });
  return value as EvaluationRun;
}

interface Place {
  readonly file: string;
  readonly at: string;
}

const COUNTS = [
  ...["prompts", "prompt_tokens", "output_tokens", "rounds", "drafted", "accepted"],
  "mean_accepted_length",
];
const POINT = [
  ...["requests_per_second", "output_tokens", "output_tokens_per_second"],
  ...["completed", "refused", "failed"],
];
const LISTS = ["acceptance_per_position", "conditional_acceptance", "accepted_per_position"];
const TIMES = ["time_per_token_ms", "time_to_first_token_ms", "latency_ms"];

function checkFigures(value: unknown, { file, at }: Place): void {
  const figures = objectOf(value, { file, at });
  for (const name of COUNTS) requireNumber(figures[name], { file, at: `${at}.${name}` });
  for (const name of LISTS) {
    for (const entry of listOf(figures[name], { file, at: `${at}.${name}` })) {
      requireNumber(entry, { file, at: `${at}.${name}` });
    }
  }
  if (figures.speed_up !== null) requireNumber(figures.speed_up, { file, at: `${at}.speed_up` });
  const speed = objectOf(figures.tokens_per_second, { file, at: `${at}.tokens_per_second` });
  for (const side of ["plain", "speculative"]) {
    if (speed[side] !== null) requireNumber(speed[side], { file, at: `${at}.tokens_per_second.${side}` });
    for (const name of TIMES) {
      const times = objectOf(figures[name], { file, at: `${at}.${name}` })[side];
      if (times !== null) checkTimes(times, { file, at: `${at}.${name}.${side}` });
    }
  }
}

function checkPoint(value: unknown, { file, at }: Place): void {
  const point = objectOf(value, { file, at });
  for (const name of POINT) requireNumber(point[name], { file, at: `${at}.${name}` });
  for (const name of ["target", "mean_accepted_length"]) {
    if (point[name] !== null) requireNumber(point[name], { file, at: `${at}.${name}` });
  }
  for (const name of ["data_set", "strategy"]) {
    if (typeof point[name] !== "string") throw unusable(file, `${at}.${name}`, "a text", point[name]);
  }
  for (const name of ["time_to_first_token_ms", "time_per_output_token_ms", "latency_ms"]) {
    checkTimes(point[name], { file, at: `${at}.${name}` });
  }
}

function checkTimes(value: unknown, { file, at }: Place): void {
  const times = objectOf(value, { file, at });
  for (const name of ["mean", "p50", "p90", "p95", "p99"]) {
    if (times[name] !== null) requireNumber(times[name], { file, at: `${at}.${name}` });
  }
}

function requireNumber(value: unknown, { file, at }: Place): void {
  if (typeof value !== "number" || !Number.isFinite(value)) throw unusable(file, at, "a number", value);
}

function objectOf(value: unknown, { file, at }: Place): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw unusable(file, at, "an object", value);
  }
  return value as Record<string, unknown>;
}

function listOf(value: unknown, { file, at }: Place): readonly unknown[] {
  if (!Array.isArray(value) || value.length > 10_000) throw unusable(file, at, "a list", value);
  return value;
}

function unusable(file: string, at: string, expected: string, value: unknown): FormatError {
  const received = (JSON.stringify(value) ?? "nothing").slice(0, 80);
  return new FormatError(file, `expected ${expected} as ${at}, received ${received}`, {
    hint: "Give a results.json that evaluate --output-dir wrote",
  });
}
