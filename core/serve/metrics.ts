/**
 * What a server counts, by vLLM's names, so that what reads those reads these.
 *
 * source: vllm v1/spec_decode/metrics.py and v1/metrics/loggers.py (names, bounds); prometheus_client puts `_total` behind a
 * counter's name
 *
 * @module
 */
import type { DecodeRound } from "../decode/options.ts";
import type { SchedulerStats } from "../decode/scheduler.ts";
import { Counter, Gauge, Histogram } from "./prometheus.ts";

const FIRST_TOKEN = [
  0.001,
  0.005,
  0.01,
  0.02,
  0.04,
  0.06,
  0.08,
  0.1,
  0.25,
  0.5,
  0.75,
  1,
  2.5,
  5,
  7.5,
  10,
  20,
  40,
  80,
  160,
  640,
  2560,
];
const TOKEN = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80];
const REQUEST = [
  0.3,
  0.5,
  0.8,
  1,
  1.5,
  2,
  2.5,
  5,
  10,
  15,
  20,
  30,
  40,
  50,
  60,
  120,
  240,
  480,
  960,
  1920,
  7680,
];

/** How a text ended. */
export type FinishedReason = "stop" | "length" | "abort" | "error";

/** A text that has ended; times in seconds. */
export interface FinishedText {
  /** How. */
  readonly reason: FinishedReason;
  /** Tokens of its prompt. */
  readonly promptTokens: number;
  /** Tokens written. */
  readonly tokens: number;
  /** From the request to the end. */
  readonly latency: number;
  /** From the request until it began; `null` where it never did. */
  readonly queued: number | null;
  /** From the request to the first token; `null` where there was none. */
  readonly first: number | null;
}

/** What a server counts. */
export class ServeMetrics {
  readonly #labels: { readonly model_name: string; readonly engine: string };
  readonly #running = new Gauge("vllm:num_requests_running", "Requests that are being answered.");
  readonly #waiting = new Gauge("vllm:num_requests_waiting", "Requests that wait.");
  readonly #prompt = new Counter("vllm:prompt_tokens_total", "Prompt tokens read.");
  readonly #written = new Counter("vllm:generation_tokens_total", "Tokens written.");
  readonly #drafts = new Counter("vllm:spec_decode_num_drafts_total", "Proposals checked.");
  readonly #drafted = new Counter("vllm:spec_decode_num_draft_tokens_total", "Tokens proposed.");
  readonly #accepted = new Counter("vllm:spec_decode_num_accepted_tokens_total", "Proposed tokens accepted.");
  readonly #perPosition = new Counter(
    "vllm:spec_decode_num_accepted_tokens_per_pos_total",
    "Proposed tokens accepted, by position.",
  );
  readonly #success = new Counter("vllm:request_success_total", "Texts that ended, by how.");
  readonly #first = new Histogram(
    "vllm:time_to_first_token_seconds",
    "Time to the first token.",
    FIRST_TOKEN,
  );
  readonly #between = new Histogram("vllm:inter_token_latency_seconds", "Time between tokens.", TOKEN);
  readonly #perToken = new Histogram(
    "vllm:request_time_per_output_token_seconds",
    "Time of a token after the first, mean of a text.",
    TOKEN,
  );
  readonly #latency = new Histogram(
    "vllm:e2e_request_latency_seconds",
    "Time of a text, waiting included.",
    REQUEST,
  );
  readonly #queue = new Histogram("vllm:request_queue_time_seconds", "Time a text waited.", REQUEST);
  readonly #prefill = new Histogram(
    "vllm:request_prefill_time_seconds",
    "Time of reading a prompt.",
    REQUEST,
  );
  readonly #decode = new Histogram(
    "vllm:request_decode_time_seconds",
    "Time of writing after the first token.",
    REQUEST,
  );
  readonly #inference = new Histogram(
    "vllm:request_inference_time_seconds",
    "Time of a text without waiting.",
    REQUEST,
  );
  readonly #promptLength: Histogram;
  readonly #length: Histogram;
  readonly #n = new Histogram("vllm:request_params_n", "Texts asked for by a request.", [1, 2, 5, 10, 20]);
  readonly #http = new Counter(
    "http_requests_total",
    "Requests over HTTP, by what was asked and the answer's status.",
  );
  readonly #memory = new Gauge("process_resident_memory_bytes", "Memory of the process.");

  /** @param options `positions`: tokens proposed a round, 0 without a draft */
  constructor(options: { readonly model: string; readonly maxTokens: number; readonly positions: number }) {
    this.#labels = { model_name: options.model, engine: "0" };
    const lengths = oneTwoFive(options.maxTokens);
    this.#promptLength = new Histogram("vllm:request_prompt_tokens", "Tokens of a prompt.", lengths);
    this.#length = new Histogram("vllm:request_generation_tokens", "Tokens written for a text.", lengths);
    for (const counter of [this.#prompt, this.#written]) counter.add(0);
    for (const finished_reason of ["stop", "length", "abort", "error"]) {
      this.#success.add(0, { finished_reason });
    }
    if (options.positions === 0) return;
    for (const counter of [this.#drafts, this.#drafted, this.#accepted]) counter.add(0);
    for (let i = 0; i < options.positions; i++) this.#perPosition.add(0, { position: String(i) });
  }

  /** Counts a request over HTTP. */
  answered(handler: string, method: string, status: number): void {
    this.#http.add(1, { handler, method, status: `${Math.floor(status / 100)}xx` });
  }

  /** Counts a request for `n` texts. */
  asked(n: number): void {
    this.#n.observe(n);
  }

  /** Counts a round; `seconds` since the one before, `null` for a text's first. */
  round({ proposed, accepted, tokens }: DecodeRound, seconds: number | null): void {
    this.#written.add(tokens.length);
    if (seconds !== null && tokens.length > 0) {
      this.#between.observe(seconds / tokens.length, tokens.length);
    }
    if (proposed.length === 0) return;
    this.#drafts.add(1);
    this.#drafted.add(proposed.length);
    this.#accepted.add(accepted);
    for (let i = 0; i < accepted; i++) this.#perPosition.add(1, { position: String(i) });
  }

  /** Counts a text that has ended. */
  finished({ reason, promptTokens, tokens, latency, queued, first }: FinishedText): void {
    this.#success.add(1, { finished_reason: reason });
    if (reason === "error" || reason === "abort") return;
    this.#prompt.add(promptTokens);
    this.#promptLength.observe(promptTokens);
    this.#length.observe(tokens);
    this.#latency.observe(latency);
    if (queued === null || first === null) return;
    this.#queue.observe(queued);
    this.#first.observe(first);
    this.#prefill.observe(first - queued);
    this.#decode.observe(latency - first);
    this.#inference.observe(latency - queued);
    if (tokens > 1) this.#perToken.observe((latency - first) / (tokens - 1));
  }

  /** All figures as text. */
  render({ running, waiting }: Pick<SchedulerStats, "running" | "waiting">): string {
    this.#running.set(running);
    this.#waiting.set(waiting);
    this.#memory.set(Deno.memoryUsage().rss);
    const figures = [
      this.#running,
      this.#waiting,
      this.#prompt,
      this.#written,
      this.#success,
      this.#drafts,
      this.#drafted,
      this.#accepted,
      this.#perPosition,
      this.#first,
      this.#between,
      this.#perToken,
      this.#latency,
      this.#queue,
      this.#prefill,
      this.#decode,
      this.#inference,
      this.#promptLength,
      this.#length,
      this.#n,
    ];
    return figures.map((figure) => figure.render(this.#labels)).join("") +
      this.#http.render({}) + this.#memory.render({});
  }
}

/** 1, 2, 5, 10, … up to a largest value. */
function oneTwoFive(largest: number): number[] {
  const found: number[] = [];
  for (let power = 1; power <= largest; power *= 10) {
    for (const digit of [1, 2, 5]) if (digit * power <= largest) found.push(digit * power);
  }
  return found;
}
