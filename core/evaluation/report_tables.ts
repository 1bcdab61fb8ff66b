/** The tables of a report of evaluations. */
import type { Percentiles } from "../load/summary.ts";
import type { ReportTable } from "../report/chart.ts";
import type { EvaluationFigures } from "./figures.ts";
import type { EvaluationRun } from "./results.ts";

/** What is shown side by side: the data sets of one run, or several runs. */
export interface Subject {
  /** What it is called. */
  readonly name: string;
  /** Its figures. */
  readonly figures: EvaluationFigures;
}

/** The data sets of a run, and all together where they are several. */
export function withAll({ data_sets, all }: EvaluationRun): Subject[] {
  const sets = data_sets.map((figures) => ({ name: figures.name, figures }));
  return sets.length === 1 ? sets : [...sets, { name: "all", figures: all }];
}

/** The tables: acceptance, speed, and loads where there were some. */
export function evaluationTables(runs: readonly EvaluationRun[]): ReportTable[] {
  const one = runs.length === 1, first = one ? ["data set"] : ["run", "data set"];
  const rows = (cells: (figures: EvaluationFigures) => readonly string[]) =>
    runs.flatMap((run) =>
      withAll(run).map(({ name, figures }) => [...(one ? [] : [run.name]), name, ...cells(figures)])
    );
  const fixed = (value: number | null | undefined, digits: number) => value?.toFixed(digits) ?? "–";
  const percentiles = (times: Percentiles | null) => `${fixed(times?.p50, 2)} / ${fixed(times?.p99, 2)}`;
  const found: ReportTable[] = [{
    title: "Acceptance",
    head: [...first, "prompts", "rounds", "proposed", "accepted", "mean accepted length", "per position"],
    rows: rows((figures) => [
      ...[figures.prompts, figures.rounds, figures.drafted, figures.accepted].map(String),
      figures.mean_accepted_length.toFixed(3),
      figures.acceptance_per_position.map((rate) => rate.toFixed(3)).join(" / ") || "–",
    ]),
  }];
  if (runs.every(({ all }) => all.prompts === 0)) return found;
  found.push({
    title: "Speed: with the draft, and in brackets without; times p50 / p99",
    head: [...first, "tokens/s", "speed-up", "ms a token", "ms to first token", "ms a text"],
    rows: rows((figures) => [
      `${fixed(figures.tokens_per_second.speculative, 1)} (${fixed(figures.tokens_per_second.plain, 1)})`,
      figures.speed_up === null ? "–" : `${figures.speed_up.toFixed(2)} ×`,
      ...[figures.time_per_token_ms, figures.time_to_first_token_ms, figures.latency_ms].map((times) =>
        percentiles(times.speculative) + (times.plain ? ` (${percentiles(times.plain)})` : "")
      ),
    ]),
  });
  const loads = runs.flatMap((run) =>
    run.sweep.map((point) => [
      ...(one ? [] : [run.name]),
      point.data_set,
      `${point.strategy}${point.target === null ? "" : ` ${point.target}`}`,
      `${point.completed} / ${point.refused + point.failed}`,
      point.requests_per_second.toFixed(2),
      point.output_tokens_per_second.toFixed(1),
      percentiles(point.time_to_first_token_ms),
      percentiles(point.time_per_output_token_ms),
      fixed(point.mean_accepted_length, 3),
    ])
  );
  if (loads.length > 0) {
    found.push({
      title: "Under load; times p50 / p99",
      head: [
        ...[...first, "load", "answered / not", "requests/s", "tokens/s", "ms to first token", "ms a token"],
        "mean accepted length",
      ],
      rows: loads,
    });
  }
  return found;
}
