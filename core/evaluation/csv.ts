/**
 * Results as CSV, for spreadsheets and for upstream's plots: its columns under its names, ours behind them.
 *
 * source: upstream v0.7.0.1 `scripts/evaluate/perf_utils.py` (`acceptance_csv_columns`, `BASE_CSV_COLUMNS`)
 *
 * @module
 */
import type { EvaluationFigures } from "./figures.ts";
import type { EvaluationRun } from "./results.ts";

type Cell = string | number | null;

/** `acceptance.csv`: a line a data set, and one of all together. */
export function acceptanceCsv(run: EvaluationRun): string {
  const positions = Math.max(0, ...run.data_sets.map((set) => set.acceptance_per_position.length));
  const at = <T>(make: (i: number) => T): T[] => Array.from({ length: positions }, (_, i) => make(i));
  const head = [
    ...["subset", "num_drafts", "num_draft_tokens", "num_accepted_tokens", "acceptance_length"],
    ...at((i) => `acceptance_at_pos_${i}`),
    ...at((i) => `conditional_acceptance_at_pos_${i}`),
    ...["prompts", "prompt_tokens", "output_tokens"],
    ...["plain_tokens_per_second", "speculative_tokens_per_second", "speed_up"],
    ...["time_per_token", "time_to_first_token", "latency"].flatMap((name) =>
      ["plain", "speculative"].flatMap((side) => ["p50", "p99"].map((p) => `${side}_${name}_${p}_ms`))
    ),
  ];
  const row = (name: string, figures: EvaluationFigures): Cell[] => [
    name,
    figures.rounds,
    figures.drafted,
    figures.accepted,
    figures.mean_accepted_length,
    ...at((i) => figures.acceptance_per_position[i] ?? 0),
    ...at((i) => figures.conditional_acceptance[i] ?? 0),
    figures.prompts,
    figures.prompt_tokens,
    figures.output_tokens,
    figures.tokens_per_second.plain,
    figures.tokens_per_second.speculative,
    figures.speed_up,
    ...[figures.time_per_token_ms, figures.time_to_first_token_ms, figures.latency_ms].flatMap((times) =>
      [times.plain, times.speculative].flatMap((side) => [side?.p50 ?? null, side?.p99 ?? null])
    ),
  ];
  return lines([head, ...run.data_sets.map((set) => row(set.name, set)), row("all", run.all)]);
}

/** `perf_results.csv`: a line a load of the sweep. */
export function sweepCsv(run: EvaluationRun): string {
  const head = [
    ...["subset", "strategy", "target_rate", "rps_median", "latency_median_s", "itl_median_ms"],
    ...["ttft_median_ms", "output_tps_median", "total_output_tokens"],
    ...["ttft_p99_ms", "itl_p99_ms", "latency_p99_s", "completed", "refused", "failed", "acceptance_length"],
  ];
  const seconds = (ms: number | null) => ms === null ? null : ms / 1000;
  return lines([
    head,
    ...run.sweep.map((point): Cell[] => [
      point.data_set,
      point.strategy,
      point.target,
      point.requests_per_second,
      seconds(point.latency_ms.p50),
      point.time_per_output_token_ms.p50,
      point.time_to_first_token_ms.p50,
      point.output_tokens_per_second,
      point.output_tokens,
      point.time_to_first_token_ms.p99,
      point.time_per_output_token_ms.p99,
      seconds(point.latency_ms.p99),
      point.completed,
      point.refused,
      point.failed,
      point.mean_accepted_length,
    ]),
  ]);
}

function lines(rows: readonly (readonly Cell[])[]): string {
  return rows.map((row) => row.map(cell).join(",") + "\n").join("");
}

/** A cell, in quotes where it needs them (RFC 4180). A text that a spreadsheet would take for a formula is kept a text. */
function cell(value: Cell): string {
  if (typeof value !== "string") return value === null ? "" : String(value);
  const text = /^[=+@\t\r-]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
