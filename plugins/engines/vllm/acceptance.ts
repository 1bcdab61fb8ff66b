/**
 * What a vLLM server counts of its draft, in its metrics and in its log.
 *
 * source: vLLM 0.24 `v1/spec_decode/metrics.py`; upstream v0.7.0.1 `scripts/evaluate/perf_utils.py` (counters) and v0.4.0.1
 * `eval-guidellm/scripts/parse_logs.py` (log)
 *
 * @module
 */
import { apiBase } from "../../../core/endpoint.ts";
import { EndpointError } from "../../../core/errors.ts";
import type { AcceptanceCounts, LoggedAcceptance } from "../../../core/plugin.ts";

/** Most bytes of metrics, positions of a draft, and milliseconds until they are there. */
const MAX_BYTES = 16 * 1024 * 1024, MAX_POSITIONS = 1024, TIMEOUT_MS = 20_000;

/**
 * Asks a server for its counts. Those of several engines behind one address are summed.
 *
 * @throws {EndpointError} when it does not answer, or not with metrics
 */
export async function acceptanceCounts(
  endpoint: string,
  options: { readonly signal?: AbortSignal; readonly apiKey?: string } = {},
): Promise<AcceptanceCounts | null> {
  const url = `${apiBase(endpoint).replace(/\/v\d+\w*$/, "")}/metrics`, { signal, apiKey } = options;
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const response = await fetch(url, {
      redirect: "error",
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      headers: apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` },
    });
    const text = await bounded(response);
    if (!response.ok) {
      throw new EndpointError(url, `expected metrics, received status ${response.status}`, {
        status: response.status,
        hint: "The address must be that of a vLLM server itself, whose metrics are on",
      });
    }
    return countsOf(text, url);
  } catch (cause) {
    if (cause instanceof EndpointError || signal?.aborted) throw cause;
    const received = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new EndpointError(url, `expected metrics, received ${received}`, {
      cause,
      hint: "Look whether the server runs, and whether this is its address",
    });
  }
}

/**
 * The counts in a page of metrics; `null` where there are none of a draft.
 *
 * @throws {EndpointError} when a counter is no number
 */
export function countsOf(text: string, url: string): AcceptanceCounts | null {
  const sums = new Map<string, number>(), perPosition: number[] = [];
  for (const line of text.split("\n")) {
    const [, name, labels = "", written] =
      /^vllm:spec_decode_(num_[a-z_]+?)(?:_total)?(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*$/.exec(line) ?? [];
    if (name === undefined) continue;
    const value = Number(written);
    if (!Number.isFinite(value) || value < 0) {
      throw new EndpointError(url, `expected numbers of counters, received "${line.slice(0, 120)}"`);
    }
    if (name === "num_accepted_tokens_per_pos") {
      const position = Number(/(?:^|,)position="(\d+)"/.exec(labels)?.[1] ?? NaN);
      if (!(position < MAX_POSITIONS)) {
        throw new EndpointError(url, `expected positions of a draft, received "${line.slice(0, 120)}"`);
      }
      while (perPosition.length <= position) perPosition.push(0);
      perPosition[position]! += value;
    } else sums.set(name, (sums.get(name) ?? 0) + value);
  }
  const rounds = sums.get("num_drafts");
  if (rounds === undefined) return null;
  return {
    rounds,
    drafted: sums.get("num_draft_tokens") ?? 0,
    accepted: sums.get("num_accepted_tokens") ?? 0,
    perPosition,
  };
}

/**
 * What a server's log says: each line `SpecDecoding metrics: … Drafted: N tokens, Per-position acceptance rate: …` tells of
 * some seconds. The rate of position i is Σ rateᵢ · drafted / Σ drafted over the lines; a line without the position counts 0.
 */
export function acceptanceOfLog(text: string): LoggedAcceptance | null {
  const spans: { readonly drafted: number; readonly rates: readonly number[] }[] = [];
  let accepted: number | null = 0;
  for (const [, line] of text.matchAll(/SpecDecoding metrics:([^\n]*)/g)) {
    const drafted = Number(/Drafted: (\d+)/.exec(line!)?.[1] ?? NaN);
    const written = /Per-position acceptance rate: ([\d., -]*\d)/.exec(line!)?.[1];
    const rates = written?.split(",").map(Number) ?? [];
    if (!Number.isFinite(drafted) || rates.length === 0 || rates.length > MAX_POSITIONS) continue;
    if (!rates.every((rate) => rate >= 0 && rate <= 1)) continue;
    spans.push({ drafted, rates });
    const taken = /Accepted: (\d+)/.exec(line!)?.[1];
    accepted = accepted === null || taken === undefined ? null : accepted + Number(taken);
  }
  if (spans.length === 0) return null;
  const drafted = spans.reduce((sum, span) => sum + span.drafted, 0);
  const longest = spans.reduce((most, { rates }) => Math.max(most, rates.length), 0);
  const weighted = Array.from({ length: longest }, (_, i) => {
    const sum = spans.reduce((sum, span) => sum + (span.rates[i] ?? 0) * span.drafted, 0);
    return drafted === 0 ? 0 : sum / drafted;
  });
  return { spans: spans.length, drafted, accepted, weighted };
}

async function bounded(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "", bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) {
      throw new EndpointError(response.url, `expected at most ${MAX_BYTES} bytes of metrics, received more`);
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
