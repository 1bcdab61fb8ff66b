/** The live page of a run, for browsers of this machine. */
import { ConfigError } from "../core/errors.ts";
import type { RunReport } from "../mod.ts";

/** Milliseconds that requests under way have when the run ends. */
const PATIENCE_MS = 1_000;

/** How it is served. */
export interface DashboardOptions {
  /** Milliseconds between a page's questions; 2000 unless given. */
  readonly everyMs?: number;
}

/** A page that is being served; disposing of it ends that. */
export interface Dashboard extends AsyncDisposable {
  /** Where it is. */
  readonly address: string;
}

/**
 * Serves the page of a report, to this machine only. What changed is made when a page asks for it: a run that nobody
 * watches spends no time on it. Requests by another name than this machine's are refused, so that no page of somebody
 * else can read it (DNS rebinding).
 *
 * @param port 0 for any that is free
 * @throws {ConfigError} when the port cannot be had
 */
export function openDashboard(report: RunReport, port: number, options: DashboardOptions = {}): Dashboard {
  const { everyMs = 2_000 } = options;
  const stop = new AbortController();
  let server: Deno.HttpServer<Deno.NetAddr>;
  const names = (): string[] => ["127.0.0.1", "localhost"].map((host) => `${host}:${server.addr.port}`);
  const answer = (request: Request): Response => {
    if (!names().includes(request.headers.get("host") ?? "")) return text("not of this machine\n", 403);
    if (request.method !== "GET" && request.method !== "HEAD") return text("only GET\n", 405);
    const { pathname } = new URL(request.url);
    if (pathname === "/") return html(report.page({ address: "/content", everyMs }));
    if (pathname !== "/content") return text("nothing here\n", 404);
    const tag = `"${report.version}"`, headers = { etag: tag };
    if (request.headers.get("if-none-match") === tag) return new Response(null, { status: 304, headers });
    return html(report.content(), headers);
  };
  try {
    server = Deno.serve({ hostname: "127.0.0.1", port, signal: stop.signal, onListen() {} }, answer);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError("--dashboard", `expected a port that is free, received ${port}: ${reason}`, {
      hint: "Leave the port out, and one that is free is taken",
      cause,
    });
  }
  return {
    address: `http://127.0.0.1:${server.addr.port}/`,
    async [Symbol.asyncDispose]() {
      // Who is in the middle of an answer gets it, unless it takes long: a run waits for no reader.
      const timer = setTimeout(() => stop.abort(), PATIENCE_MS);
      await Promise.race([server.shutdown(), server.finished]);
      clearTimeout(timer);
    },
  };
}

function html(body: string, headers: Readonly<Record<string, string>> = {}): Response {
  const common = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  };
  return new Response(body, { headers: { ...common, ...headers } });
}

function text(body: string, status: number): Response {
  return new Response(body, { status, headers: { "content-type": "text/plain" } });
}
