/** Texts that a server writes, and what it counts meanwhile. */
import { apiBase, servedModel } from "../endpoint.ts";
import { EndpointError } from "../errors.ts";
import { pauseFor } from "../json_request.ts";
import { type LoadResult, type LoadRunOptions, runLoad } from "../load/load.ts";
import type { LoadBody } from "../load/request.ts";
import type { AcceptanceCounts, EnginePlugin } from "../plugin.ts";
import type { Message } from "../text/chat_template.ts";
import { addCounts } from "./figures.ts";

/** A server to be asked. */
export interface MeasuredServer {
  /** Its address. */
  readonly endpoint: string;
  /** The engine that knows its counters. */
  readonly plugin: EnginePlugin;
  /** Sent as a bearer's key. */
  readonly apiKey?: string;
  /** Stops it. */
  readonly signal?: AbortSignal;
}

/** How texts are asked for. */
export interface AskedSampling {
  /** Most tokens of a text. */
  readonly maxTokens: number;
  /** 0 is greedy. */
  readonly temperature: number;
  /** Share of the mass; all when absent. */
  readonly topP?: number;
  /** How many tokens; all when absent. */
  readonly topK?: number;
  /** Seed; text i of a data set gets seed + i. */
  readonly seed: number;
}

/** Milliseconds between looks at counters, and looks: a server counts a text's last round a moment after it is answered. */
const SETTLE_MS = 100, LOOKS = 20;

/** The bodies of requests, one a turn. */
export async function bodiesOf(
  turns: readonly Message[],
  { maxTokens, temperature, topP, topK, seed, server }: AskedSampling & { readonly server: MeasuredServer },
): Promise<LoadBody[]> {
  const { apiKey, signal } = server;
  const { id: model } = await servedModel(apiBase(server.endpoint), {
    ...(signal ? { signal } : {}),
    ...(apiKey === undefined ? {} : { headers: { authorization: `Bearer ${apiKey}` }, redirect: "error" }),
  });
  return turns.map(({ role, content }, i) => ({
    model,
    messages: [{ role, content }],
    max_tokens: maxTokens,
    temperature,
    // Said, for else the model's generation_config.json decides.
    top_p: topP ?? 1,
    ...(topK === undefined ? {} : { top_k: topK }),
    seed: seed + i,
  }));
}

/**
 * Does something with a server, and gives what it counted meanwhile: all of its clients', so that nobody else should ask it.
 *
 * @throws {EndpointError} when its counters fell
 */
export async function counted<T>(
  server: MeasuredServer,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly counts: AcceptanceCounts | null }> {
  const before = await settledCounts(server), result = await work();
  return { result, counts: difference(await settledCounts(server), before, server.endpoint) };
}

/**
 * Loads a server.
 *
 * @throws {EndpointError} when no request went well
 */
export async function load(
  server: MeasuredServer,
  what: Pick<LoadRunOptions, "bodies" | "shape" | "maxRequests" | "maxSeconds">,
): Promise<LoadResult> {
  const { endpoint, apiKey, signal } = server;
  const result = await runLoad({
    endpoint,
    api: "chat/completions",
    ...what,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(signal ? { signal } : {}),
  });
  signal?.throwIfAborted();
  const failed = result.records.find(({ outcome }) => outcome !== "ok");
  if (result.summary.completed > 0) return result;
  throw new EndpointError(
    endpoint,
    `expected answers, received ${failed?.error ?? failed?.outcome ?? "none"}`,
    {
      ...(failed?.status ? { status: failed.status } : {}),
      hint: "Look into the server's own log",
    },
  );
}

/** The counters when they do not move any more. */
async function settledCounts(
  { plugin, endpoint, apiKey, signal }: MeasuredServer,
): Promise<AcceptanceCounts | null> {
  const options = { ...(signal ? { signal } : {}), ...(apiKey === undefined ? {} : { apiKey }) };
  let counts = await plugin.acceptanceCounts!(endpoint, options);
  for (let i = 0; i < LOOKS && counts; i++) {
    await pauseFor(SETTLE_MS, signal);
    const next = await plugin.acceptanceCounts!(endpoint, options);
    if (next?.drafted === counts.drafted && next.accepted === counts.accepted) return next;
    counts = next;
  }
  return counts;
}

function difference(
  after: AcceptanceCounts | null,
  before: AcceptanceCounts | null,
  endpoint: string,
): AcceptanceCounts | null {
  if (after === null || before === null) return after;
  const counts = addCounts(after, before, -1);
  if ([counts.rounds, counts.drafted, counts.accepted, ...counts.perPosition].every((n) => n >= 0)) {
    return counts;
  }
  throw new EndpointError(endpoint, "expected counters that grow, received smaller ones", {
    hint: "The server was started anew meanwhile: measure again",
  });
}
