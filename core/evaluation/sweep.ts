/** A server under several loads, one after the other. */
import type { LoadSummary } from "../load/summary.ts";
import type { LoadBody } from "../load/request.ts";
import { ratesOf } from "./figures.ts";
import type { SweepPoint } from "./results.ts";
import { measure, type MeasuredServer } from "./served.ts";

/** Loads. */
export interface SweepOptions {
  /** Clients at once, a load each. */
  readonly concurrency?: readonly number[];
  /** Requests a second, a load each. */
  readonly rates?: readonly number[];
  /** Most requests of a load; 200 unless given. */
  readonly maxRequests?: number;
  /** Seconds after which a load begins none any more; 60 unless given. */
  readonly maxSeconds?: number;
}

/** The loads, lightest first. */
export function loadsOf(
  { concurrency = [], rates = [] }: SweepOptions,
): Pick<SweepPoint, "strategy" | "target">[] {
  const sorted = (values: readonly number[]) => [...new Set(values)].sort((a, b) => a - b);
  return [
    ...sorted(concurrency).map((target) => ({ strategy: "concurrency", target })),
    ...sorted(rates).map((target) => ({ strategy: "constant", target })),
  ];
}

/**
 * Puts a server under each load.
 *
 * @throws {EndpointError} when it answers nothing under one of them
 */
export async function* sweep(
  server: MeasuredServer,
  options: SweepOptions & { readonly name: string; readonly bodies: readonly LoadBody[] },
): AsyncGenerator<SweepPoint, void, void> {
  const { name, bodies, maxRequests = 200, maxSeconds = 60 } = options;
  for (const { strategy, target } of loadsOf(options)) {
    const shape = strategy === "concurrency"
      ? { concurrency: target! }
      : { rate: target!, arrivals: "constant" as const };
    const { summary, counts } = await measure(server, { bodies, shape, maxRequests, maxSeconds });
    yield {
      data_set: name,
      strategy,
      target,
      ...pointOf(summary),
      mean_accepted_length: counts && counts.rounds > 0 ? ratesOf(counts).mean_accepted_length : null,
    };
  }
}

function pointOf(summary: LoadSummary) {
  const { completed, refused, failed, requests_per_second, output_tokens, output_tokens_per_second } =
    summary;
  const { time_to_first_token_ms, time_per_output_token_ms, latency_ms } = summary;
  return {
    completed,
    refused,
    failed,
    requests_per_second,
    output_tokens,
    output_tokens_per_second,
    time_to_first_token_ms,
    time_per_output_token_ms,
    latency_ms,
  };
}
