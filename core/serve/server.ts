/** A server over a socket: from its opening until it has finished what runs. */
import { ConfigError } from "../errors.ts";
import type { Runtime } from "../runtime.ts";
import { isLoopback } from "./access.ts";
import { ServeApp } from "./app.ts";
import { openEngine, type OpenEngineOptions } from "./open.ts";

/** Milliseconds that connections without a request have at the end. */
const PATIENCE_MS = 500;

/** What is served, to whom, and within which bounds. */
export interface ServerOptions extends OpenEngineOptions {
  /** The address it listens at; `127.0.0.1`, which only this machine reaches, when absent. */
  readonly host?: string;
  /** The port; 8000 when absent, any that is free for 0. */
  readonly port?: number;
  /** The key that requests must bring; none when absent. */
  readonly apiKey?: string;
  /** Most bytes of a request's body; 4 MiB when absent. */
  readonly maxBodyBytes?: number;
  /** Seconds until a body must be here; 30 when absent. */
  readonly bodyTimeout?: number;
  /** Seconds that a request may take; 600 when absent. */
  readonly requestTimeout?: number;
  /** Told of errors that are the server's own. */
  readonly onError?: (error: unknown) => void;
}

/** A server at work. */
export interface Server extends AsyncDisposable {
  /** Where it is, such as `http://127.0.0.1:8000`. */
  readonly address: string;
  /** The name of its model. */
  readonly model: string;
  /** Tokens proposed a round; 0 without a draft. */
  readonly numSpecTokens: number;
  /** Why the draft may do badly, as far as can be told. */
  readonly doubt: string | null;
  /** Requests that are being answered. */
  readonly active: number;
  /** Takes no more requests, finishes what runs, and frees the models. */
  close(): Promise<void>;
}

/**
 * Opens a server and its models.
 *
 * @throws {ConfigError} when the port cannot be had, an option cannot be used, or the speculator does not fit
 * @throws {NotFoundError} when a model is not there
 */
export async function serve(options: ServerOptions, runtime: Runtime): Promise<Server> {
  const { host = "127.0.0.1", port = 8000, apiKey, onError } = options;
  if (apiKey === "" || /\s/.test(apiKey ?? "")) {
    throw new ConfigError("apiKey", "expected a key without blanks, received none");
  }
  const open = await openEngine(options, runtime), { engine } = open, stop = new AbortController();
  const app = new ServeApp(engine, {
    maxBodyBytes: options.maxBodyBytes ?? 4 * 1024 * 1024,
    bodyTimeoutMs: 1000 * (options.bodyTimeout ?? 30),
    requestTimeoutMs: 1000 * (options.requestTimeout ?? 600),
    localOnly: isLoopback(host) && apiKey === undefined,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(onError ? { onError } : {}),
  });
  let http: Deno.HttpServer<Deno.NetAddr>;
  try {
    http = Deno.serve(
      { hostname: host, port, signal: stop.signal, onListen() {} },
      (request) => app.handle(request),
    );
  } catch (cause) {
    open[Symbol.dispose]();
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError("port", `expected an address that is free, received ${host}:${port}: ${reason}`, {
      hint: "Take another one with --port, or 0 for any that is free",
      cause,
    });
  }
  let closing: Promise<void> | undefined;
  const close = async () => {
    await app.close();
    const timer = setTimeout(() => stop.abort(), PATIENCE_MS);
    await Promise.race([http.shutdown(), http.finished]);
    clearTimeout(timer);
    open[Symbol.dispose]();
  };
  return {
    address: `http://${host.includes(":") ? `[${host}]` : host}:${http.addr.port}`,
    model: engine.model,
    numSpecTokens: engine.numSpecTokens,
    doubt: open.doubt,
    get active() {
      return app.active;
    },
    close: () => closing ??= close(),
    [Symbol.asyncDispose]: () => closing ??= close(),
  };
}
