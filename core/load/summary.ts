/** Figures of a load: rates, and times as percentiles. */
import type { LoadRecord } from "./request.ts";

/** Some times, in milliseconds; all `null` where there is none. */
export interface Percentiles {
  /** Mean. */
  readonly mean: number | null;
  /** Median. */
  readonly p50: number | null;
  /** 90th percentile. */
  readonly p90: number | null;
  /** 95th percentile. */
  readonly p95: number | null;
  /** 99th percentile. */
  readonly p99: number | null;
}

/** Figures of a load. */
export interface LoadSummary {
  /** Seconds from the first request to the last answer. */
  readonly seconds: number;
  /** Requests answered whole. */
  readonly completed: number;
  /** Requests refused as too many (429, 503). */
  readonly refused: number;
  /** Requests that failed. */
  readonly failed: number;
  /** Requests that the run's end stopped. */
  readonly cancelled: number;
  /** Answers a second. */
  readonly requests_per_second: number;
  /** Tokens of prompts. */
  readonly prompt_tokens: number;
  /** Tokens written. */
  readonly output_tokens: number;
  /** Tokens written a second. */
  readonly output_tokens_per_second: number;
  /** Mean number of requests under way. */
  readonly concurrency: number;
  /** From sending to the first text. */
  readonly time_to_first_token_ms: Percentiles;
  /** From the first text to the last, by token after the first. */
  readonly time_per_output_token_ms: Percentiles;
  /** From sending to the end. */
  readonly latency_ms: Percentiles;
}

/** Percentiles of some numbers: the smallest one that the given share does not exceed. */
export function percentiles(values: readonly number[]): Percentiles {
  const order = [...values].sort((a, b) => a - b), n = order.length;
  const at = (share: number) => n === 0 ? null : order[Math.max(0, Math.ceil(share * n) - 1)]!;
  const mean = n === 0 ? null : order.reduce((sum, x) => sum + x, 0) / n;
  return { mean, p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99) };
}

/** Figures of some requests; times are those of the ones that were answered whole. */
export function summarise(records: readonly LoadRecord[]): LoadSummary {
  const sum = (of: readonly number[]) => of.reduce((all, x) => all + x, 0);
  const begin = Math.min(...records.map(({ start }) => start)),
    end = Math.max(...records.map(({ end }) => end));
  const seconds = records.length === 0 ? 0 : (end - begin) / 1000,
    ok = records.filter(({ outcome }) => outcome === "ok");
  const count = (outcome: LoadRecord["outcome"]) => records.filter((one) => one.outcome === outcome).length;
  const rate = (n: number) => seconds > 0 ? n / seconds : 0, tokens = sum(ok.map(({ tokens }) => tokens));
  return {
    seconds,
    completed: ok.length,
    refused: count("refused"),
    failed: count("failed"),
    cancelled: count("cancelled"),
    requests_per_second: rate(ok.length),
    prompt_tokens: sum(ok.map(({ promptTokens }) => promptTokens)),
    output_tokens: tokens,
    output_tokens_per_second: rate(tokens),
    concurrency: rate(sum(records.map(({ start, end }) => end - start)) / 1000),
    time_to_first_token_ms: percentiles(
      ok.flatMap(({ first, start }) => first === null ? [] : [first - start]),
    ),
    time_per_output_token_ms: percentiles(
      ok.flatMap(({ first, last, tokens }) =>
        first === null || tokens < 2 ? [] : [(last! - first) / (tokens - 1)]
      ),
    ),
    latency_ms: percentiles(ok.map(({ start, end }) => end - start)),
  };
}
