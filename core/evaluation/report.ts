/** The report of one evaluation, or of several side by side. */
import type { Chart, NumberFormat, Report, ReportSection, Series } from "../report/chart.ts";
import { chartKit } from "../report/draw.ts";
import type { Percentiles } from "../load/summary.ts";
import type { EvaluationFigures, Side } from "./figures.ts";
import { evaluationTables, type Subject, withAll } from "./report_tables.ts";
import type { EvaluationRun, SweepPoint } from "./results.ts";

/** The report. Of one run the data sets are compared, of several ones the runs. */
export function evaluationReport(runs: readonly EvaluationRun[]): Report {
  const [run] = runs, one = runs.length === 1 ? run! : null;
  const newest = runs.map(({ created }) => created).sort().at(-1) ?? "";
  return {
    title: one ? `Evaluation of ${one.name}` : `Comparison of ${runs.length} evaluations`,
    subtitle: one
      ? `${one.engine} engine, ${one.data_sets.map(({ name }) => name).join(", ")}, ${time(newest)} UTC`
      : `${runs.map(({ name }) => name).join(", ")}; newest ${time(newest)} UTC`,
    figures: one ? headline(one) : runs.map(({ name, all }) => ({
      label: `${name}: mean accepted length`,
      value: number(all.mean_accepted_length),
    })),
    sections: [acceptance(runs, one), speed(runs, one), sweep(runs)].filter(({ charts }) =>
      charts.length > 0
    ),
    tables: evaluationTables(runs),
    details: runs.map(({ name, engine, base, speculator, settings, created }) => ({
      title: one ? "Settings" : `Settings of ${name}`,
      entries: Object.entries({ created, engine, base, speculator, ...settings })
        .filter(([, value]) => value !== null && value !== undefined)
        .map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)] as const),
    })),
  };
}

function headline({ all, identical }: EvaluationRun): Report["figures"] {
  const { plain, speculative } = all.tokens_per_second;
  return [
    ...(all.rounds > 0 ? [{ label: "mean accepted length", value: number(all.mean_accepted_length) }] : []),
    ...(all.speed_up === null ? [] : [{ label: "speed-up", value: `${all.speed_up.toFixed(2)} ×` }]),
    ...(speculative === null ? [] : [{ label: "tokens/s with the draft", value: number(speculative) }]),
    ...(plain === null ? [] : [{ label: "tokens/s without", value: number(plain) }]),
    { label: "prompts", value: number(all.prompts) },
    ...(identical === null
      ? []
      : [{ label: "texts the verifier's own", value: identical ? "all" : "NOT all" }]),
  ].filter(({ label, value }) => label !== "prompts" || value !== "0");
}

function acceptance(runs: readonly EvaluationRun[], one: EvaluationRun | null): ReportSection {
  const subjects = subjectsOf(runs, one);
  const longest = Math.max(0, ...subjects.map(({ figures }) => figures.acceptance_per_position.length));
  if (longest === 0) return { title: "Acceptance", charts: [] };
  const positions = Array.from({ length: longest }, (_, i) => String(i + 1));
  const perPosition = (title: string, note: string, of: (figures: EvaluationFigures) => readonly number[]) =>
    bars({ title, note, xLabel: "position", format: "percent", categories: positions }, {
      series: subjects.map(({ name, figures }) => [name, positions.map((_, i) => of(figures)[i] ?? null)]),
    });
  const several = runs.length > 1 || subjects.length > 1;
  return {
    title: "Acceptance",
    charts: [
      perPosition(
        "Acceptance per position",
        "Share of rounds that accepted the position, and so all before it.",
        (figures) => figures.acceptance_per_position,
      ),
      perPosition(
        "Conditional acceptance per position",
        "Share of those rounds that accepted the position before.",
        (figures) => figures.conditional_acceptance,
      ),
      ...(several
        ? [byDataSet(runs, {
          title: "Mean accepted length",
          note: "Tokens gained by a pass of the verifier: 1 + accepted / rounds.",
          of: (figures) => figures.rounds === 0 ? null : figures.mean_accepted_length,
        })]
        : []),
    ],
  };
}

function speed(runs: readonly EvaluationRun[], one: EvaluationRun | null): ReportSection {
  const charts: Chart[] = [];
  if (one) {
    charts.push(sides(one, "Tokens per second", (figures, side) => figures.tokens_per_second[side]));
    for (
      const [title, of] of [
        ["Time per token", (figures) => figures.time_per_token_ms],
        ["Time to first token", (figures) => figures.time_to_first_token_ms],
        ["Time of a text", (figures) => figures.latency_ms],
      ] as const satisfies readonly (readonly [string, (figures: EvaluationFigures) => TimesOf])[]
    ) charts.push(percentileBars(title, of(one.all)));
  } else {
    charts.push(
      byDataSet(runs, {
        title: "Speed-up",
        note: "Tokens a second with the draft over those without it.",
        of: (figures) => figures.speed_up,
      }),
      byDataSet(runs, {
        title: "Tokens per second with the draft",
        of: (figures) => figures.tokens_per_second.speculative,
      }),
      byDataSet(runs, {
        title: "Time to first token, median",
        of: (figures) => seconds(figures.time_to_first_token_ms.speculative?.p50),
        format: "seconds",
      }),
    );
  }
  return { title: "Speed", charts: charts.filter(hasValues) };
}

function sweep(runs: readonly EvaluationRun[]): ReportSection {
  const charts = [...new Set(runs.flatMap((run) => run.sweep.map(({ strategy }) => strategy)))].flatMap(
    (strategy) => {
      const xLabel = strategy === "concurrency" ? "clients at once" : "requests a second asked for";
      const curves = (
        title: string,
        of: (point: SweepPoint) => number | null,
        format: NumberFormat = "number",
      ): Chart => ({
        title: `${title} (${strategy})`,
        xLabel,
        format,
        fromZero: true,
        series: runs.flatMap((run) =>
          [...new Set(run.sweep.map(({ data_set }) => data_set))].map((set) => {
            const points = run.sweep.filter((point) =>
              point.data_set === set && point.strategy === strategy && point.target !== null
            ).sort((a, b) => a.target! - b.target!);
            return {
              name: runs.length > 1 ? `${run.name}: ${set}` : set,
              x: points.map(({ target }) => target!),
              y: points.map(of),
            };
          })
        ).filter(({ x }) => x.length > 0).map((series, colour): Series => ({
          ...series,
          colour,
          look: "strong",
        })),
      });
      return [
        curves("Tokens per second", (point) => point.output_tokens_per_second),
        curves(
          "Time to first token, median",
          (point) => seconds(point.time_to_first_token_ms.p50),
          "seconds",
        ),
        curves("Time per token, median", (point) => seconds(point.time_per_output_token_ms.p50), "seconds"),
        curves("Time of a request, 99th percentile", (point) => seconds(point.latency_ms.p99), "seconds"),
      ];
    },
  );
  return { title: "Under load", charts: charts.filter(hasValues) };
}

type TimesOf = Readonly<Record<Side, Percentiles | null>>;

const SIDES = [["plain", "without the draft"], ["speculative", "with the draft"]] as const;

function percentileBars(title: string, times: TimesOf): Chart {
  const names = ["p50", "p90", "p99"] as const; // more, and their labels meet
  return bars({ title, xLabel: "percentile of all texts", format: "seconds", categories: [...names] }, {
    series: SIDES.map(([side, name]) => [name, names.map((p) => seconds(times[side]?.[p]))]),
  });
}

function sides(
  run: EvaluationRun,
  title: string,
  of: (figures: EvaluationFigures, side: Side) => number | null,
): Chart {
  const subjects = withAll(run);
  return bars({ title, xLabel: "data set", format: "number", categories: subjects.map(({ name }) => name) }, {
    series: SIDES.map(([side, name]) => [name, subjects.map(({ figures }) => of(figures, side))]),
  });
}

function byDataSet(
  runs: readonly EvaluationRun[],
  what: {
    readonly title: string;
    readonly note?: string;
    readonly of: (figures: EvaluationFigures) => number | null;
    readonly format?: NumberFormat;
  },
): Chart {
  const { title, note, of, format = "number" } = what;
  const categories = [...new Set(runs.flatMap((run) => withAll(run).map(({ name }) => name)))];
  return bars({ title, ...(note ? { note } : {}), xLabel: "data set", format, categories }, {
    series: runs.map((run) => [
      run.name,
      categories.map((name) => {
        const found = withAll(run).find((subject) => subject.name === name);
        return found ? of(found.figures) : null;
      }),
    ]),
  });
}

function bars(
  chart: Omit<Chart, "series">,
  { series }: { readonly series: readonly (readonly [string, readonly (number | null)[]])[] },
): Chart {
  return {
    ...chart,
    series: series.filter(([, y]) => y.some((value) => value !== null))
      .map(([name, y], colour) => ({ name, colour, x: y.map((_, i) => i), y })),
  };
}

function hasValues({ series }: Chart): boolean {
  return series.some(({ y }) => y.some((value) => value !== null));
}

function subjectsOf(runs: readonly EvaluationRun[], one: EvaluationRun | null): Subject[] {
  return one ? withAll(one) : runs.map(({ name, all }) => ({ name, figures: all }));
}

function seconds(milliseconds: number | null | undefined): number | null {
  return milliseconds === null || milliseconds === undefined ? null : milliseconds / 1000;
}

function number(value: number): string {
  return chartKit().write(value, "number");
}

function time(iso: string): string {
  return iso.slice(0, 19).replace("T", " ");
}
