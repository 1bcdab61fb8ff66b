/** How a training run is watched: loggers, the report it leaves, the page that shows it live. */
import { logged, type LoggerRun, reported, RunReport, type Runtime, type Stage } from "../mod.ts";
import { openDashboard } from "./dashboard.ts";

/** What watches a run. */
export interface WatchOptions {
  /** The run. */
  readonly run: LoggerRun;
  /** Names of logger plugins. */
  readonly loggers: readonly string[];
  /** Folder of the checkpoints, where the report goes. */
  readonly savePath: string;
  /** Port of the live page, `true` for any; no page when absent. */
  readonly dashboard?: number | true | undefined;
}

/** Passes a stage's events through, to whatever watches it. */
export async function* watched<R>(
  stage: Stage<R>,
  options: WatchOptions,
  runtime: Pick<Runtime, "registry">,
): Stage<R> {
  const { run, loggers, savePath, dashboard } = options;
  const report = new RunReport({
    name: run.name,
    folder: savePath,
    logFolder: run.folder,
    settings: run.settings,
  });
  const whole = reported(logged(stage, { loggers, run }, runtime), report);
  if (dashboard === undefined) return yield* whole;
  await using page = openDashboard(report, dashboard === true ? 0 : dashboard);
  yield { type: "note", stage: "train", level: "info", text: `watch it at ${page.address}` };
  return yield* whole;
}
