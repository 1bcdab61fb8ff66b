/**
 * A server that is started for a while: in a process group of its own, so that what it starts ends with it; its output kept
 * in a file.
 *
 * @module
 */
import { AbortedError, EndpointError, NotFoundError } from "../errors.ts";
import { pauseFor } from "../json_request.ts";

/** How a server is started. */
export interface LaunchOptions {
  /** Where it will answer. */
  readonly endpoint: string;
  /** File for what it prints. */
  readonly logPath: string;
  /** Seconds until it answers; 300 unless given. */
  readonly timeoutSeconds?: number;
  /** Seconds that it has to end before it is made to; 10 unless given. */
  readonly graceSeconds?: number;
  /** Stops waiting for it. */
  readonly signal?: AbortSignal;
}

/** Most characters of a log that an error tells. */
const MAX_TAIL = 1500;

/**
 * Starts a server and waits until its `/health` answers.
 *
 * @param command words of the command
 * @returns what stops it again, with all processes of its group
 * @throws {NotFoundError} when there is no such program
 * @throws {EndpointError} when it ends, or does not answer in time; it is stopped then
 */
export async function launch(command: readonly string[], options: LaunchOptions): Promise<AsyncDisposable> {
  const { endpoint, logPath, timeoutSeconds = 300, graceSeconds = 10, signal } = options;
  const [program, ...args] = command as [string, ...string[]];
  if (await isHealthy(endpoint)) {
    throw new EndpointError(
      endpoint,
      "expected a free port for the server, received one that answers already",
      {
        hint: "Give another --port, or measure what runs there with --endpoint",
      },
    );
  }
  await Deno.writeTextFile(logPath, "");
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args,
      detached: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    })
      .spawn();
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new NotFoundError(program, "expected the program in PATH, received none", {
      cause,
      hint: `Install it, or start the server elsewhere and give --endpoint`,
    });
  }
  const running = new Running(child, { logPath, graceSeconds });
  try {
    for (const begun = performance.now(); !await isHealthy(endpoint); await pauseFor(200, signal)) {
      if (running.ended) throw await running.failure("ended before it was ready");
      if (performance.now() - begun > 1000 * timeoutSeconds) {
        throw await running.failure(`was not ready within ${timeoutSeconds} s`);
      }
    }
    return running;
  } catch (error) {
    await running[Symbol.asyncDispose]();
    throw signal?.aborted ? new AbortedError() : error;
  }
}

/** A process and what it prints. */
class Running implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #log: Promise<void>;
  readonly #options: { readonly logPath: string; readonly graceSeconds: number };
  ended = false;

  constructor(
    child: Deno.ChildProcess,
    options: { readonly logPath: string; readonly graceSeconds: number },
  ) {
    this.#child = child;
    this.#options = options;
    child.status.then(() => this.ended = true);
    this.#log = Promise.all([this.#keep(child.stdout), this.#keep(child.stderr)]).then(() => {});
  }

  async failure(what: string): Promise<EndpointError> {
    await this[Symbol.asyncDispose]();
    const { logPath } = this.#options;
    const tail = (await Deno.readTextFile(logPath).catch(() => "")).trimEnd().slice(-MAX_TAIL);
    const last = tail.split("\n").at(-1) ?? "";
    return new EndpointError(
      "server",
      `expected a server that answers, received one that ${what}: ${last || "it printed nothing"}`,
      {
        hint: `Look into ${logPath}`,
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill("SIGTERM");
    const timer = setTimeout(() => this.#kill("SIGKILL"), 1000 * this.#options.graceSeconds);
    await this.#child.status;
    clearTimeout(timer);
    this.#kill("SIGKILL"); // what it left behind would hold its output, and its devices
    await this.#log;
  }

  /** Signals the whole group, as long as somebody is in it. */
  #kill(signal: Deno.Signal): void {
    try {
      Deno.kill(-this.#child.pid, signal);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound) && !/ESRCH|No such process/i.test(String(error))) {
        throw error;
      }
    }
  }

  async #keep(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    using file = await Deno.open(this.#options.logPath, { append: true });
    for await (const bytes of stream) {
      for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
    }
  }
}

async function isHealthy(endpoint: string): Promise<boolean> {
  try {
    const response = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(2000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}
