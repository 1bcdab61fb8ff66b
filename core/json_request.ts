/**
 * Asking a server for JSON: with patience for one that is busy or away for a moment, and with limits for one that never
 * ends.
 *
 * @module
 */
import { AbortedError, EndpointError, SpeculatorsError } from "./errors.ts";

/** How a server is asked. */
export interface JsonRequest {
  /** What is sent, as JSON by POST; without it, the answer is got by GET. */
  readonly body?: unknown;
  /** Further headers. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Times that it is tried in all; 8 unless given, which is a minute of patience. */
  readonly tries?: number;
  /** Milliseconds before the second try, doubled before each further one up to half a minute; 500 unless given. */
  readonly backoffMs?: number;
  /** Milliseconds that a try may take; ten minutes unless given. */
  readonly timeoutMs?: number;
  /** Most bytes of an answer; 64 MiB unless given. */
  readonly maxBytes?: number;
  /** Whether another address that the server names is asked instead; `error`, where headers hold a secret. */
  readonly redirect?: "follow" | "error";
  /** Stops it. */
  readonly signal?: AbortSignal;
}

const MAX_PAUSE_MS = 30_000, MAX_DETAIL = 300;

/** Not 5xx, and yet it may go well the next time: too slow, conflict, too early, too many. */
const PASSING: ReadonlySet<number> = new Set([408, 409, 425, 429]);

/** A failure that may not happen again. */
class Passing extends Error {
  readonly error: EndpointError;
  readonly pauseMs: number;

  constructor(error: EndpointError, pauseMs = 0) {
    super(error.message);
    this.error = error;
    this.pauseMs = pauseMs;
  }
}

/**
 * Asks, and tries again after 5xx, 408, 409, 425, 429, a dropped connection, an answer that is cut off, and silence.
 *
 * @returns the object that the server answered
 * @throws {EndpointError} with the status, when it refuses or does not answer
 * @throws {AbortedError} when the signal is given
 */
export async function requestJson(
  url: string,
  options: JsonRequest = {},
): Promise<Readonly<Record<string, unknown>>> {
  const { tries = 8, backoffMs = 500, signal } = options;
  for (let tried = 1;; tried++) {
    try {
      return await ask(url, options);
    } catch (cause) {
      if (signal?.aborted) throw new AbortedError();
      if (!(cause instanceof Passing)) throw cause;
      if (tried >= tries) throw cause.error;
      // Not all at once again: requests that were refused together would be so the next time.
      const pause = backoffMs * 2 ** (tried - 1) * (0.75 + Math.random() / 2);
      await pauseFor(Math.min(MAX_PAUSE_MS, Math.max(pause, cause.pauseMs)), signal);
    }
  }
}

/**
 * Waits.
 *
 * @throws {AbortedError} when the signal is given
 */
export async function pauseFor(milliseconds: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) throw new AbortedError();
  await new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener("abort", end);
  });
  if (signal?.aborted) throw new AbortedError();
}

/** One try. */
async function ask(url: string, options: JsonRequest): Promise<Readonly<Record<string, unknown>>> {
  const { body, headers = {}, timeoutMs = 600_000, maxBytes = 64 * 1024 * 1024, signal } = options;
  if (signal?.aborted) throw new AbortedError();
  const stop = new AbortController(), end = () => stop.abort();
  const timer = setTimeout(end, timeoutMs);
  signal?.addEventListener("abort", end);
  try {
    const response = await fetch(url, {
      signal: stop.signal,
      redirect: options.redirect ?? "follow",
      headers: {
        accept: "application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    });
    const text = await textOf(url, response, maxBytes);
    if (!response.ok) throw refusal(url, response, text);
    return objectOf(url, text);
  } catch (cause) {
    if (cause instanceof Passing || cause instanceof SpeculatorsError) throw cause;
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    const received = stop.signal.aborted
      ? `expected an answer within ${timeoutMs / 1000} s, received none`
      : `expected an answer, received ${lastCause(cause)}`;
    throw new Passing(new EndpointError(url, received, { cause }));
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", end);
  }
}

/** The body as far as it may go. */
async function textOf(url: string, response: Response, maxBytes: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "", bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      throw new EndpointError(url, `expected an answer of at most ${maxBytes} bytes, received more`);
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function refusal(url: string, response: Response, text: string): Error {
  const { status } = response, detail = detailOf(text);
  const error = new EndpointError(
    url,
    `expected an answer, received status ${status}${detail === "" ? "" : `: ${detail}`}`,
    { status, hint: hintFor(status) },
  );
  if (status < 500 && !PASSING.has(status)) return error;
  const seconds = Number(response.headers.get("retry-after") ?? NaN);
  return new Passing(error, Number.isFinite(seconds) ? 1000 * seconds : 0);
}

function hintFor(status: number): string {
  switch (status) {
    case 401:
    case 403:
      return "The server wants a key, or another one";
    case 404:
    case 405:
      return "Look whether this is the server's address, and whether it serves a model of that name";
    default:
      return status >= 500 || PASSING.has(status)
        ? "Look into the server's own log; what was finished is kept"
        : "The server does not take such a request; its log may say more";
  }
}

/** What a server says of its refusal, on one line: `{"error": {"message": …}}`, `{"message": …}`, or its words. */
function detailOf(text: string): string {
  let found: unknown = text;
  try {
    const value = JSON.parse(text), error = value?.error ?? value;
    found = error?.message ?? value?.detail ?? error;
  } catch {
    // Not JSON: a text, or a page.
  }
  const words = typeof found === "string" ? found : JSON.stringify(found) ?? "";
  return words.replace(/\s+/g, " ").trim().slice(0, MAX_DETAIL).replace(/\.$/, "");
}

function objectOf(url: string, text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const received = text === "" ? "nothing" : `"${text.slice(0, 80)}"`;
    throw new Passing(new EndpointError(url, `expected JSON, received ${received}`, { cause }));
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new EndpointError(url, `expected a JSON object, received ${text.slice(0, 80)}`);
}

/** The innermost reason: the outer ones only say that a request failed. */
function lastCause(error: unknown): string {
  let last = error;
  while (last instanceof Error && last.cause instanceof Error) last = last.cause;
  return (last instanceof Error ? last.message : String(last)).split("\n", 1)[0]!.replace(/\.$/, "");
}
