/** Gives a stage's numbers to loggers on their way. */
import type { NoteEvent, Stage, StageEvent } from "../events.ts";
import type { Logger, LoggerPlugin, LoggerRun } from "../plugin.ts";
import type { Runtime } from "../runtime.ts";

/** Which loggers take the numbers of a run. */
export interface LoggedOptions {
  /** Names of logger plugins. */
  readonly loggers: readonly string[];
  /** The run they log. */
  readonly run: LoggerRun;
}

/**
 * Passes a stage's events through, and logs each of its `metrics` events: a value's name is that of its split and its
 * own, `train/loss_0`, `val/full_acc_1`. The loggers are found before the stage begins, opened with its first numbers (a
 * run that never began leaves no log), and closed however it ends. One that cannot be opened ends the stage, since
 * nothing is lost yet; one that fails later is told of in a warning, once, and the stage goes on.
 *
 * @throws {NotFoundError} when there is no logger of a name
 * @throws {ConfigError} when a logger lacks a setting
 * @throws {PluginError} when a logger cannot be opened
 * @throws {WriteError} when a log cannot be opened
 */
export async function* logged<R>(
  stage: Stage<R>,
  options: LoggedOptions,
  runtime: Pick<Runtime, "registry">,
): Stage<R> {
  await using logs = new Logs(options.run);
  try {
    for (const name of new Set(options.loggers)) logs.add(await runtime.registry.get("logger", name));
    let next = await stage.next();
    for (; !next.done; next = await stage.next()) {
      yield* await logs.take(next.value);
      yield next.value;
    }
    yield* await logs.close();
    return next.value;
  } finally {
    // Whoever stops listening here stops the stage as well, so that it cleans up.
    await stage.return(undefined as R);
  }
}

/** The loggers of a run. Its methods give warnings, one of each logger that failed. */
class Logs implements AsyncDisposable {
  readonly #run: LoggerRun;
  readonly #plugins: LoggerPlugin[] = [];
  readonly #open = new Map<string, Logger>();
  readonly #failed = new Set<string>();

  constructor(run: LoggerRun) {
    this.#run = run;
  }

  add(plugin: LoggerPlugin): void {
    this.#plugins.push(plugin);
  }

  async take(event: StageEvent): Promise<NoteEvent[]> {
    if (event.type !== "metrics") return [];
    for (const plugin of this.#plugins.splice(0)) this.#open.set(plugin.name, await plugin.open(this.#run));
    const { split, step, epoch, values } = event,
      named: Record<string, number> = { [`${split}/epoch`]: epoch };
    for (const [name, value] of Object.entries(values)) named[`${split}/${name}`] = value;
    const warnings: NoteEvent[] = [];
    for (const [name, logger] of this.#open) {
      // One that failed is asked again: a disk may have room again, a server be back.
      await logger.log(step, named).catch((cause) =>
        warnings.push(...this.#warning(name, event.stage, cause))
      );
    }
    return warnings;
  }

  /** Closes all of them. */
  async close(stage = "log"): Promise<NoteEvent[]> {
    const warnings: NoteEvent[] = [];
    await Promise.all(
      [...this.#open].map(([name, logger]) =>
        logger.close().catch((cause) => warnings.push(...this.#warning(name, stage, cause)))
      ),
    );
    this.#open.clear();
    return warnings;
  }

  /** After an error or nobody listening: nobody hears warnings. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #warning(name: string, stage: string, cause: unknown): NoteEvent[] {
    if (this.#failed.has(name)) return [];
    this.#failed.add(name);
    const reason = cause instanceof Error ? cause.message : String(cause);
    const text = `the logger "${name}" failed, its log may have gaps; the run goes on: ${reason}`;
    return [{ type: "note", stage, level: "warning", text }];
  }
}
