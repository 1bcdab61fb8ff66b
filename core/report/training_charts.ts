/**
 * The charts of a training run. Those of names that are known stand in their places; a number that is not, whatever
 * draft plugin tells it, gets a chart below them.
 *
 * @module
 */
import type { Chart, NumberFormat, ReportSection, ReportTable, Series } from "./chart.ts";
import { chartKit } from "./draw.ts";
import type { RunHistory } from "./history.ts";

/** Points from which a curve of training is shown pale, with its moving mean over it. */
const SMOOTH_FROM = 60;

interface Known {
  readonly title: string;
  readonly note?: string;
  /** Names of the numbers, without their split; `#` stands for the TTT step. */
  readonly names: readonly string[];
  readonly format?: NumberFormat;
  readonly fromZero?: boolean;
  /** Shown as it is, however many points there are. */
  readonly exact?: boolean;
}

interface Place {
  readonly title: string;
  readonly charts: readonly Known[];
}

function places(): readonly Place[] {
  return [
    {
      title: "Learning",
      charts: [
        { title: "Loss per TTT step", names: ["loss_#"], fromZero: true },
        {
          title: "Accuracy per position",
          note: "Share of tokens where the draft and all its steps before are right.",
          names: ["full_acc_#"],
          format: "percent",
        },
        {
          title: "Conditional accuracy per position",
          note: "Share of tokens where the draft is right, given that its steps before were.",
          names: ["cond_acc_#"],
          format: "percent",
        },
        {
          title: "Simulated mean accepted length",
          note:
            "1 + Σ of the products of the conditional accuracies: tokens a round, the verifier's own included.",
          names: ["simulated_accepted_length"],
        },
      ],
    },
    {
      title: "Optimisation",
      charts: [
        { title: "Loss, all steps", names: ["loss"], fromZero: true },
        { title: "Learning rate", names: ["lr"], fromZero: true, exact: true },
        { title: "Norm of the gradients", names: ["grad_norm"], fromZero: true },
      ],
    },
    {
      title: "Speed and memory",
      charts: [
        { title: "Tokens per second", names: ["tokens_per_second"], fromZero: true },
        {
          title: "Time of a step by phase",
          names: ["data_seconds", "compute_seconds"],
          format: "seconds",
          fromZero: true,
        },
        {
          title: "Memory of the device",
          names: ["memory_bytes", "peak_memory_bytes"],
          format: "bytes",
          fromZero: true,
        },
        {
          title: "Room that batches do not fill",
          names: ["padding_share"],
          format: "percent",
          fromZero: true,
        },
      ],
    },
  ];
}

/** The charts that a history has numbers for. */
export function trainingSections(history: RunHistory): ReportSection[] {
  const rest = new Map<string, string[]>();
  for (const name of history.names) {
    const key = patternOf(name);
    if (key !== "epoch") rest.set(key, [...rest.get(key) ?? [], name]);
  }
  const sections = places().map(({ title, charts }) => ({
    title,
    charts: charts.flatMap((known) => {
      const names = known.names.flatMap((key) => {
        const found = rest.get(key) ?? [];
        rest.delete(key);
        return found;
      });
      return names.length === 0 ? [] : [chartOf(known, names, history)];
    }),
  }));
  const phases = phaseChart(history);
  if (phases) sections.at(-1)!.charts.push(phases);
  rest.delete("seconds");
  const others = [...rest].map(([key, names]) =>
    chartOf({ title: key.replace(/_#$/, " per TTT step").replaceAll("_", " "), names: [key] }, names, history)
  );
  return [...sections, { title: "Further numbers", charts: others }].filter(({ charts }) =>
    charts.length > 0
  );
}

/** The last validation by TTT step, and all of them by epoch. */
export function trainingTables(history: RunHistory): ReportTable[] {
  const { write } = chartKit(), last = history.epochs.at(-1);
  if (!last) return [];
  const text = (value: number | null | undefined, format: NumberFormat = "number") =>
    value === null || value === undefined ? "–" : write(value, format);
  const columns = ["loss", "full_acc", "cond_acc"];
  const heads = ["loss", "accuracy", "conditional accuracy"];
  const steps = Object.keys(last.values).filter((name) => /^loss_\d+$/.test(name)).map((name) =>
    name.slice(5)
  );
  const cells = (step: string) =>
    columns.map((name) => text(last.values[`${name}_${step}`], name === "loss" ? "number" : "percent"));
  const tables: ReportTable[] = [];
  if (steps.length > 0) {
    tables.push({
      title: `Validation after epoch ${last.epoch + 1}`,
      head: ["TTT step", ...heads],
      rows: steps.map((step) => [step, ...cells(step)]),
    });
  }
  const overall = ["loss", "simulated_accepted_length"].filter((name) => last.values[name] !== undefined);
  const first = steps[0] === undefined ? [] : columns.map((name) => `${name}_${steps[0]}`);
  const names = [...new Set([...overall, ...first])].filter((name) => last.values[name] !== undefined);
  tables.push({
    title: "Validation by epoch",
    head: ["epoch", "steps", ...names.map((name) => name.replaceAll("_", " "))],
    rows: history.epochs.slice(-50).map(({ epoch, step, values }) => [
      String(epoch + 1),
      String(step),
      ...names.map((name) => text(values[name], /_acc_\d+$/.test(name) ? "percent" : "number")),
    ]),
  });
  return tables;
}

/** A name without its split and with its TTT step left open: `train/loss_0` is `loss_#`. */
function patternOf(name: string): string {
  return name.slice(name.indexOf("/") + 1).replace(/_\d+$/, "_#");
}

function chartOf(known: Known, names: readonly string[], history: RunHistory): Chart {
  const colours = new Map<string, number>(), faint: Series[] = [], series: Series[] = [];
  const single = known.names.length === 1;
  for (const name of names) {
    const one = history.series(name)!, slash = name.indexOf("/"), split = name.slice(0, slash);
    const own = name.slice(slash + 1), step = /_(\d+)$/.exec(own)?.[1];
    // A colour is a TTT step, or a number where a chart shows several; where it shows one of each split, a split.
    const key = step ?? (single ? split : own), colour = colours.get(key) ?? colours.size;
    colours.set(key, colour);
    const words = step !== undefined
      ? `step ${step}`
      : single
      ? ""
      : own.replace(/_(?:seconds|bytes)$/, "").replaceAll("_", " ");
    const label = [split, words].filter((word) => word !== "").join(" ");
    const smooth = !known.exact && split === "train" && one.x.length >= SMOOTH_FROM;
    if (smooth) faint.push({ name: label, colour, look: "faint", x: one.x, y: one.y });
    series.push({
      name: label,
      colour,
      look: split === "train" ? "plain" : "strong",
      x: one.x,
      y: smooth ? movingMean(one.y) : one.y,
    });
  }
  const { title, note, format = "number", fromZero } = known;
  return {
    title,
    ...(note === undefined ? {} : { note }),
    xLabel: "step",
    format,
    ...(fromZero === undefined ? {} : { fromZero }),
    series: [...faint, ...series],
  };
}

/** Time in all by phase, as bars. */
function phaseChart(history: RunHistory): Chart | null {
  const phases = [
    ["data", "train/data_seconds"],
    ["compute", "train/compute_seconds"],
    ["validation", "val/seconds"],
    ["checkpoints", "checkpoint/seconds"],
  ].flatMap(([label, name]) => {
    const found = history.series(name!);
    return found ? [{ label: label!, total: found.total }] : [];
  });
  if (phases.length === 0) return null;
  const series = { name: "time", colour: 0, x: phases.map((_, i) => i), y: phases.map(({ total }) => total) };
  const categories = phases.map(({ label }) => label);
  return { title: "Time in all by phase", xLabel: "phase", format: "seconds", categories, series: [series] };
}

/** The mean of some neighbours to both sides, which keeps gaps where they are. */
function movingMean(values: readonly (number | null)[]): (number | null)[] {
  const reach = Math.max(2, Math.floor(values.length / 40));
  return values.map((own, i) => {
    if (own === null) return null;
    const near = values.slice(Math.max(0, i - reach), i + reach + 1).filter((value) => value !== null);
    return near.reduce((a, b) => a + b, 0) / near.length;
  });
}
