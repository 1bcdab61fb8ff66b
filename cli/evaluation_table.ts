/** Evaluations as tables. */
import type { EvaluationFigures, EvaluationRun } from "../mod.ts";
import { type Output, style, table } from "./ui.ts";

/** What is shown: a stage's result, or a run that was read. */
export interface Shown extends EvaluationFigures {
  /** Whether all texts were the verifier's own. */
  readonly identical: boolean | null;
  /** Each data set's figures. */
  readonly data_sets: readonly (EvaluationFigures & { readonly name: string })[];
}

/** Prints what an evaluation found. */
export function printEvaluation(out: Output, found: Shown): void {
  const positions = found.acceptance_per_position.map((rate, i) => [
    String(i + 1),
    percent(rate),
    percent(found.conditional_acceptance[i]!),
  ]);
  const { plain, speculative } = found.tokens_per_second;
  const medians = (of: EvaluationFigures["latency_ms"], digits: number) =>
    [of.plain, of.speculative].map((side) => side?.p50?.toFixed(digits) ?? "–");
  out.write(
    (found.rounds === 0 ? "" : style(
      out,
      "bold",
      `Acceptance of ${found.drafted} proposed tokens in ${found.rounds} rounds\n`,
    ) + table([["position", "accepted", "given the one before"], ...positions])) +
      table([
        ["mean accepted length", found.mean_accepted_length.toFixed(3)],
        ...(plain === null ? [] : [["tokens/s without the draft", plain.toFixed(1)]]),
        ...(speculative === null ? [] : [["tokens/s with the draft", speculative.toFixed(1)]]),
        ...(found.speed_up === null ? [] : [["speed-up", `${found.speed_up.toFixed(2)} ×`]]),
      ]) +
      (speculative === null ? "" : table([
        ["median ms", "without", "with the draft"],
        ["per token", ...medians(found.time_per_token_ms, 3)],
        ["to first token", ...medians(found.time_to_first_token_ms, 2)],
        ["per text", ...medians(found.latency_ms, 1)],
      ])) +
      (found.data_sets.length < 2 ? "" : dataSets(found)) + identity(out, found),
  );
}

/** Prints evaluations side by side. */
export function printComparison(out: Output, runs: readonly EvaluationRun[]): void {
  const rows = runs.map(({ name, engine, all }) => [
    name,
    engine,
    String(all.prompts),
    all.mean_accepted_length.toFixed(3),
    all.acceptance_per_position.map(percent).join(" "),
    all.tokens_per_second.plain?.toFixed(1) ?? "–",
    all.tokens_per_second.speculative?.toFixed(1) ?? "–",
    all.speed_up === null ? "–" : `${all.speed_up.toFixed(2)} ×`,
  ]);
  const head = [
    "run",
    "engine",
    "prompts",
    "mean accepted",
    "per position",
    "tokens/s without",
    "with",
    "speed-up",
  ];
  out.write(table([head, ...rows]));
}

function dataSets(found: Shown): string {
  const rows = [...found.data_sets, { name: "all", ...found }].map((set) => [
    set.name,
    String(set.prompts),
    set.mean_accepted_length.toFixed(3),
    set.acceptance_per_position.map(percent).join(" "),
    set.tokens_per_second.speculative?.toFixed(1) ?? "–",
    set.speed_up === null ? "–" : `${set.speed_up.toFixed(2)} ×`,
  ]);
  return table([["data set", "prompts", "mean accepted", "per position", "tokens/s", "speed-up"], ...rows]);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}

function identity(out: Output, { identical, prompts }: Shown): string {
  if (identical === null) return ""; // nobody compared
  return identical
    ? style(out, "green", `Identical: all ${prompts} texts are token for token those of the verifier alone\n`)
    : style(
      out,
      "red",
      `NOT identical: some of the ${prompts} texts differ from those of the verifier alone\n`,
    );
}
