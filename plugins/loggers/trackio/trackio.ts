/** Sends a run's numbers to a Trackio server. */
import { EndpointError } from "../../../core/errors.ts";
import { requestJson } from "../../../core/json_request.ts";
import type { Logger, LoggerRun } from "../../../core/plugin.ts";
import { type TrackioServer, trackioServer } from "./settings.ts";

/** Entries of a request, and those that wait at most for a server that is away. */
const BATCH = 500, MOST_WAITING = 20_000;

/** Milliseconds before a server that failed is asked again. */
const PAUSE_MS = 10_000;

/** An entry of `bulk_log` (trackio/typehints.py, `LogEntry`). */
interface Entry {
  readonly project: string;
  readonly run: string;
  readonly run_id: string;
  readonly step: number;
  readonly metrics: Readonly<Record<string, number | string>>;
  /** By which the server knows an entry that comes again. */
  readonly log_id: string;
  readonly config?: Readonly<Record<string, unknown>>;
}

/**
 * Opens a run on the server of the environment, see {@linkcode trackioServer}. Nothing is sent yet: training waits for
 * no server.
 *
 * @throws {ConfigError} when the environment names no server or no token
 */
export function openTrackio(run: LoggerRun): Promise<Logger> {
  const get = (variable: string) => {
    const { state } = Deno.permissions.querySync({ name: "env", variable });
    return state === "granted" ? Deno.env.get(variable) : undefined;
  };
  return Promise.resolve(new TrackioLogger(run, trackioServer(get)));
}

class TrackioLogger implements Logger {
  readonly #run: LoggerRun;
  readonly #server: TrackioServer;
  readonly #id = crypto.randomUUID().replaceAll("-", "");
  readonly #waiting: Entry[] = [];
  #sending: Promise<void> | null = null;
  #failed: { readonly error: unknown; readonly at: number; told: boolean } | null = null;
  #first = true;

  constructor(run: LoggerRun, server: TrackioServer) {
    this.#run = run;
    this.#server = server;
  }

  /** Puts numbers down to be sent; throws once what went wrong since the last call. */
  log(step: number, values: Readonly<Record<string, number>>): Promise<void> {
    if (this.#waiting.length < MOST_WAITING) this.#waiting.push(this.#entry(step, values));
    const failed = this.#failed;
    if (!failed || performance.now() - failed.at > PAUSE_MS) this.#start();
    if (!failed || failed.told) return Promise.resolve();
    failed.told = true;
    return Promise.reject(failed.error);
  }

  async close(): Promise<void> {
    await this.#sending;
    if (this.#waiting.length > 0) {
      this.#start();
      await this.#sending;
    }
    if (this.#failed) throw this.#failed.error;
  }

  #entry(step: number, values: Readonly<Record<string, number>>): Entry {
    const metrics = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, held(value)]));
    const config = this.#first ? { config: this.#run.settings } : {};
    this.#first = false;
    const { project } = this.#server, { name: run } = this.#run;
    return { project, run, run_id: this.#id, step, metrics, log_id: crypto.randomUUID(), ...config };
  }

  /** Sends what waits, and what comes meanwhile. */
  #start(): void {
    this.#sending ??= this.#send().then(
      () => this.#failed = null,
      (error) => this.#failed = { error, at: performance.now(), told: this.#failed !== null },
    ).then(() => {
      this.#sending = null;
    });
  }

  async #send(): Promise<void> {
    const { base, token } = this.#server, url = `${base}/api/bulk_log`;
    while (this.#waiting.length > 0) {
      const logs = this.#waiting.slice(0, BATCH);
      const { error } = await requestJson(url, {
        body: { args: [], kwargs: { logs, hf_token: null } },
        headers: { "x-trackio-write-token": token },
        tries: 2,
        timeoutMs: 20_000,
        redirect: "error",
      });
      if (error !== undefined && error !== null) {
        throw new EndpointError(
          url,
          `expected the numbers to be taken, received ${String(error).slice(0, 200)}`,
        );
      }
      this.#waiting.splice(0, logs.length);
    }
  }
}

/** JSON has neither NaN nor infinity: Trackio takes them as these texts. */
function held(value: number): number | string {
  if (Number.isFinite(value)) return value;
  return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}
