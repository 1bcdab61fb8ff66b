/**
 * A load on a server that speaks OpenAI's protocol, bounded in count and in time, and only on the endpoint given. Closed:
 * so many clients, each of which asks again when it is answered. Open: so many requests a second, answered or not.
 *
 * @module
 */
import { PythonRandom } from "../data/random.ts";
import { apiBase } from "../endpoint.ts";
import { ConfigError } from "../errors.ts";
import { pauseFor } from "../json_request.ts";
import { type LoadBody, type LoadRecord, sendRequest } from "./request.ts";
import { type LoadSummary, summarise } from "./summary.ts";

/** How requests follow each other. */
export type LoadShape =
  | {
    /** Clients that ask one request after the other. */
    readonly concurrency: number;
  }
  | {
    /** Requests begun a second. */
    readonly rate: number;
    /** `poisson` (the default) draws the times between them, `constant` keeps them equal. */
    readonly arrivals?: "poisson" | "constant";
    /** Seed of the times between; 0 when absent. */
    readonly seed?: number;
    /** Most requests under way: those above wait; 512 when absent. */
    readonly maxConcurrency?: number;
  };

/** A load. */
export interface LoadRunOptions {
  /** The server's address, as in `http://127.0.0.1:8000`. */
  readonly endpoint: string;
  /** What is asked: chats, or completions of plain prompts. */
  readonly api: "chat/completions" | "completions";
  /** Bodies, asked in turn and again from the first when all were; at least one. */
  readonly bodies: readonly LoadBody[];
  /** How requests follow each other. */
  readonly shape: LoadShape;
  /** Most requests in all. */
  readonly maxRequests: number;
  /** Seconds after which no request is begun. */
  readonly maxSeconds: number;
  /** Seconds that those under way have then, before they are stopped; 60 when absent. */
  readonly graceSeconds?: number;
  /** Milliseconds that a client of a closed load waits when it was refused, before it asks again; 0 when absent. */
  readonly pauseMs?: number;
  /** Sent as a bearer's key. */
  readonly apiKey?: string;
  /** Told of each request that is over. */
  readonly onRecord?: (record: LoadRecord) => void;
  /** Stops it: what is under way is cancelled, what was found is given. */
  readonly signal?: AbortSignal;
}

/** What a load found. */
export interface LoadResult {
  /** Each request, in the order of their ends. */
  readonly records: readonly LoadRecord[];
  /** Figures of all. */
  readonly summary: LoadSummary;
}

/**
 * Loads a server. What goes wrong with a request is in its record.
 *
 * @throws {ConfigError} when there is nothing to ask, or a bound is no positive number
 */
export async function runLoad(options: LoadRunOptions): Promise<LoadResult> {
  check(options);
  const { shape, bodies, maxRequests, maxSeconds, graceSeconds = 60, pauseMs = 0, apiKey, signal } = options;
  const url = `${apiBase(options.endpoint)}/${options.api}`, begun = performance.now();
  const now = () => performance.now() - begun, records: LoadRecord[] = [];
  // `over`: no more are begun; `stop`: those under way end.
  const over = new AbortController(), stop = new AbortController();
  const end = () => (over.abort(), stop.abort());
  signal?.addEventListener("abort", end);
  if (signal?.aborted) end();
  const timers = [
    setTimeout(() => over.abort(), 1000 * maxSeconds),
    setTimeout(() => stop.abort(), 1000 * (maxSeconds + graceSeconds)),
  ];
  let next = 0;
  const more = () => next < maxRequests && !over.signal.aborted;
  const ask = async (due: number) => {
    const index = next++;
    const record = await sendRequest(bodies[index % bodies.length]!, {
      url,
      index,
      due,
      now,
      signal: stop.signal,
      ...(apiKey === undefined ? {} : { apiKey }),
    });
    records.push(record);
    options.onRecord?.(record);
    return record.outcome;
  };
  try {
    if ("concurrency" in shape) {
      const client = async () => {
        while (more()) {
          const outcome = await ask(now());
          if (outcome === "refused" && pauseMs > 0) await pauseFor(pauseMs, over.signal).catch(() => {});
        }
      };
      await Promise.all(Array.from({ length: Math.min(shape.concurrency, maxRequests) }, client));
    } else await open(shape, { now, more, ask, signal: over.signal });
  } finally {
    for (const timer of timers) clearTimeout(timer);
    signal?.removeEventListener("abort", end);
  }
  return { records, summary: summarise(records) };
}

/** Begins requests at their times. */
async function open(
  shape: Extract<LoadShape, { readonly rate: number }>,
  { now, more, ask, signal }: {
    readonly now: () => number;
    readonly more: () => boolean;
    readonly ask: (due: number) => Promise<unknown>;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { rate, arrivals = "poisson", seed = 0, maxConcurrency = 512 } = shape;
  const random = new PythonRandom(seed), under = new Set<Promise<unknown>>();
  for (let due = 0; more();) {
    const early = due - now();
    // Its end stops the wait too: nothing is begun any more then.
    if (early > 0) await pauseFor(early, signal).catch(() => {});
    while (under.size >= maxConcurrency && more()) await Promise.race(under);
    if (!more()) break;
    const request: Promise<unknown> = ask(due).finally(() => under.delete(request));
    under.add(request);
    due += 1000 * (arrivals === "constant" ? 1 : -Math.log(1 - random.float())) / rate;
  }
  await Promise.all(under);
}

function check({ bodies, shape, maxRequests, maxSeconds, graceSeconds = 60 }: LoadRunOptions): void {
  if (bodies.length === 0) throw new ConfigError("bodies", "expected at least one request, received none");
  const named = { ...shape, maxRequests, maxSeconds, graceSeconds };
  for (const name of ["concurrency", "rate", "maxConcurrency", "maxRequests", "maxSeconds", "graceSeconds"]) {
    const value = (named as Record<string, unknown>)[name];
    const least = name === "graceSeconds" ? 0 : Number.MIN_VALUE;
    if (value === undefined) continue;
    // A timer counts to 2^31 ms, some 24 days.
    if (typeof value !== "number" || !(value >= least) || (/Seconds$/.test(name) && value > 1e6)) {
      throw new ConfigError(name, `expected a positive number, received ${value}`);
    }
  }
}
