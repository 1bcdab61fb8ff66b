/**
 * The report of a training run: it takes the run's numbers while it works, and goes on from what an earlier part left.
 *
 * @module
 */
import { join } from "node:path";
import { readJson, readText, writeFileAtomic } from "../files.ts";
import type { MetricsEvent } from "../events.ts";
import type { Report } from "./chart.ts";
import { chartKit } from "./draw.ts";
import { type HistoryData, readHistory, RunHistory } from "./history.ts";
import { dataOf, type Live, reportContent, reportPage } from "./page.ts";
import { readMetricsLog } from "./metrics_log.ts";
import { trainingSections, trainingTables } from "./training_charts.ts";

/** What a report says of a run besides its numbers. */
export interface RunReportOptions {
  /** The run's name. */
  readonly name: string;
  /** Folder of the report: that of the checkpoints, whose `provenance.json` it shows. */
  readonly folder: string;
  /** Folder of the run's logs; lines of JSON there say what an earlier part told. */
  readonly logFolder?: string;
  /** Its settings. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Most bytes of an earlier report. */
const MAX_PAGE_BYTES = 32 * 1024 * 1024;

/** The report of a run. */
export class RunReport {
  readonly #options: RunReportOptions;
  readonly #start = new Date();
  #history: RunHistory | null = null;
  #call: Readonly<Record<string, unknown>> = {};
  #version = 0;

  /** Begins one; nothing is read or written yet. */
  constructor(options: RunReportOptions) {
    this.#options = options;
  }

  /** The file it is written to. */
  get path(): string {
    return join(this.#options.folder, "report.html");
  }

  /** Grows with each change. */
  get version(): number {
    return this.#version;
  }

  /** Takes numbers; with the first of them, reads what an earlier part of the run left. */
  async take(event: MetricsEvent): Promise<void> {
    if (this.#history === null) {
      this.#call = await newestCall(join(this.#options.folder, "provenance.json"));
      this.#history = new RunHistory(event.step === 0 ? null : await this.#before());
    }
    this.#history.take(event);
    this.#version++;
  }

  /**
   * Writes the report; does nothing before there are numbers.
   *
   * @throws {WriteError} when it cannot be written
   */
  async write(): Promise<void> {
    if (this.#history) await writeFileAtomic(this.path, reportPage(this.report(), { data: this.#history }));
  }

  /** A page that keeps up with the run. */
  page(live: Live): string {
    return reportPage(this.report(), { live });
  }

  /** What of that page changes, to be drawn there. */
  content(): string {
    return reportContent(this.report(), false);
  }

  /** What the report shows now. */
  report(): Report {
    const { name, settings } = this.#options, { settings: all, ...provenance } = this.#call;
    const history = this.#history ?? new RunHistory();
    const time = (date: Date) => date.toISOString().slice(0, 19).replace("T", " ");
    return {
      title: `Training of ${name}`,
      subtitle: `Started ${time(this.#start)} UTC, newest numbers ${time(new Date())} UTC`,
      figures: figures(history),
      sections: trainingSections(history),
      tables: trainingTables(history),
      details: [
        { title: "Settings", entries: entriesOf({ ...settings, ...recordOf(all) }) },
        { title: "Provenance", entries: entriesOf(provenance) },
      ].filter(({ entries }) => entries.length > 0),
    };
  }

  /** The log has every number, the report's own page those of its last writing: the one that begins earlier is taken. */
  async #before(): Promise<HistoryData | null> {
    const { logFolder } = this.#options;
    const logged = logFolder === undefined ? null : await readMetricsLog(join(logFolder, "metrics.jsonl"));
    let own: HistoryData | null = null;
    try {
      own = readHistory(dataOf(await readText(this.path, { maxBytes: MAX_PAGE_BYTES })));
    } catch {
      // A report without its beginning is better than none.
    }
    return beginning(logged) <= beginning(own) ? logged : own;
  }
}

/** What the newest of a run's calls was made by, on and from; nothing where no file tells it. */
async function newestCall(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const { calls } = recordOf(await readJson(path, { maxBytes: MAX_PAGE_BYTES }));
    return Array.isArray(calls) ? { calls: calls.length, ...recordOf(calls.at(-1)) } : {};
  } catch {
    return {};
  }
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? value as Readonly<Record<string, unknown>> : {};
}

function beginning(data: HistoryData | null): number {
  return Math.min(Infinity, ...Object.values(data?.series ?? {}).map(({ x }) => x[0] ?? Infinity));
}

function figures(history: RunHistory): Report["figures"] {
  const { write } = chartKit(), found: { label: string; value: string }[] = [];
  const add = (label: string, value: number | null | undefined): void => {
    if (value !== null && value !== undefined) found.push({ label, value: write(value, "number") });
  };
  const validation = history.epochs.at(-1)?.values ?? {};
  const step = history.series("train/loss_0")?.x.at(-1) ?? history.series("train/epoch")?.x.at(-1);
  add("steps", step === undefined ? null : step + 1);
  add("epochs validated", history.epochs.length || null);
  add("validation loss, step 0", validation["loss_0"]);
  add("simulated mean accepted length", validation["simulated_accepted_length"]);
  add("tokens per second", history.last("train/tokens_per_second"));
  const peak = history.last("train/peak_memory_bytes");
  if (peak !== null) found.push({ label: "peak memory", value: write(peak, "bytes") });
  return found;
}

function entriesOf(values: Readonly<Record<string, unknown>>): [string, string][] {
  return Object.entries(values).filter(([, value]) => value !== undefined).map(([name, value]) => [
    name,
    typeof value === "string" ? value : JSON.stringify(value, undefined, 1) ?? String(value),
  ]);
}
