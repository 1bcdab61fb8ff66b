/** Gives a stage's numbers to loggers on their way. */
import { PluginError, SpeculatorsError } from "../errors.ts";
import type { Stage, StageEvent } from "../events.ts";
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
 * run that never began leaves no log), and closed however it ends.
 *
 * @throws {NotFoundError} when there is no logger of a name
 * @throws {PluginError} when a logger fails
 * @throws {WriteError} when a log cannot be written
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
      await logs.take(next.value);
      yield next.value;
    }
    await logs.close();
    return next.value;
  } finally {
    // Whoever stops listening here stops the stage as well, so that it cleans up.
    await stage.return(undefined as R);
  }
}

/** The loggers of a run. */
class Logs implements AsyncDisposable {
  readonly #run: LoggerRun;
  readonly #plugins: LoggerPlugin[] = [];
  readonly #open = new Map<string, Logger>();

  constructor(run: LoggerRun) {
    this.#run = run;
  }

  add(plugin: LoggerPlugin): void {
    this.#plugins.push(plugin);
  }

  async take(event: StageEvent): Promise<void> {
    if (event.type !== "metrics") return;
    for (const plugin of this.#plugins.splice(0)) this.#open.set(plugin.name, await plugin.open(this.#run));
    const { split, step, epoch, values } = event,
      named: Record<string, number> = { [`${split}/epoch`]: epoch };
    for (const [name, value] of Object.entries(values)) named[`${split}/${name}`] = value;
    for (const [name, logger] of this.#open) await guard(name, () => logger.log(step, named));
  }

  /** Closes all of them, then throws what the first that failed threw. */
  async close(): Promise<void> {
    const ends = [...this.#open].map(([name, logger]) => guard(name, () => logger.close()));
    this.#open.clear();
    const failed = (await Promise.allSettled(ends)).find((end) => end.status === "rejected");
    if (failed) throw failed.reason;
  }

  /** After an error, which is what counts: those of closing are left out. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch(() => {});
  }
}

async function guard(name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (cause instanceof SpeculatorsError) throw cause;
    throw new PluginError(name, "it failed while logging", { cause });
  }
}
