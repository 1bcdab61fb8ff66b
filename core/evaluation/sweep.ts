/** A server under several loads, one after the other. */
import { NotFoundError } from "../errors.ts";
import type { LoadSummary } from "../load/summary.ts";
import type { Message } from "../text/chat_template.ts";
import { ratesOf } from "./figures.ts";
import { findProgram, runGuidellm } from "./guidellm.ts";
import type { SweepPoint } from "./results.ts";
import { type AskedSampling, bodiesOf, counted, load, type MeasuredServer } from "./served.ts";

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
  /** What loads it: the own generator, GuideLLM, or (`auto`, the default) GuideLLM where PATH has it. */
  readonly generator?: "auto" | "own" | "guidellm";
}

/** A load that was asked for. */
interface Load {
  readonly strategy: "concurrency" | "constant";
  readonly target: number;
}

/** The loads, lightest first. */
export function loadsOf(
  { concurrency = [], rates = [] }: SweepOptions,
): Load[] {
  const sorted = (values: readonly number[]) => [...new Set(values)].sort((a, b) => a - b);
  return [
    ...sorted(concurrency).map((target): Load => ({ strategy: "concurrency", target })),
    ...sorted(rates).map((target): Load => ({ strategy: "constant", target })),
  ];
}

/**
 * Puts a server under each load.
 *
 * @throws {NotFoundError} when GuideLLM is asked for and PATH does not have it
 * @throws {EndpointError} when the server answers nothing under one of them
 */
export async function* sweep(
  server: MeasuredServer,
  options: SweepOptions & {
    readonly name: string;
    readonly turns: readonly Message[];
    readonly sampling: AskedSampling;
  },
): AsyncGenerator<SweepPoint, void, void> {
  const { name, turns, sampling, maxRequests = 200, maxSeconds = 60, generator = "auto" } = options;
  const program = generator === "own" ? null : await findProgram("guidellm");
  if (generator === "guidellm" && program === null) {
    throw new NotFoundError("guidellm", "expected the program in PATH, received none", {
      hint: "Install it (pip install guidellm), or leave --load-generator out",
    });
  }
  const bounds = { maxRequests, maxSeconds };
  const bodies = await bodiesOf(turns, { ...sampling, server });
  for (const { strategy, target } of loadsOf(options)) {
    const shape = strategy === "concurrency"
      ? { concurrency: target }
      : { rate: target, arrivals: "constant" as const };
    const { result, counts } = await counted(
      server,
      async () =>
        program === null
          ? { strategy, target, ...pointOf((await load(server, { bodies, shape, ...bounds })).summary) }
          : await runGuidellm(server, { program, turns, strategy, target, ...sampling, ...bounds }),
    );
    const rates = counts && counts.rounds > 0 ? ratesOf(counts) : null;
    yield { data_set: name, ...result, mean_accepted_length: rates?.mean_accepted_length ?? null };
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
