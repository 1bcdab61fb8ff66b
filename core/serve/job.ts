/** A request's texts on their way. */
import { PythonRandom } from "../data/random.ts";
import type { Sampling } from "../decode/sampling.ts";
import { AbortedError } from "../errors.ts";
import { AnswerText, type Delta } from "./answer_text.ts";
import type { ServeEngine } from "./engine.ts";
import { RequestFailure } from "./failure.ts";
import type { FinishedReason, ServeMetrics } from "./metrics.ts";
import { MAX_CHOICES } from "./schemas.ts";
import type { CommonRequest } from "./wire.ts";

/** A text that was asked for. */
export interface Choice {
  /** Its place in the answer. */
  readonly index: number;
  /** Its prompt. */
  readonly prompt: Int32Array;
  /** What was written. */
  readonly answer: AnswerText;
}

/** News of a text. */
export interface JobEvent {
  /** Which. */
  readonly choice: Choice;
  /** What is new. */
  readonly delta: Delta;
  /** Tokens that were proposed in this round, and how many of them were accepted. */
  readonly round: { readonly proposed: number; readonly accepted: number };
  /** Whether the text is at its end. */
  readonly last: boolean;
}

/** Texts that are being written. */
export interface Job {
  /** The texts. */
  readonly choices: readonly Choice[];
  /** Tokens of the prompts, each counted once. */
  readonly promptTokens: number;
  /** News, as they come; whoever stops reading them gives all texts up. */
  events(): AsyncGenerator<JobEvent, void, void>;
}

/** What a job needs besides its request. */
export interface JobOptions {
  /** Prompts; each gets `n` texts. */
  readonly prompts: readonly Int32Array[];
  /** The field that the prompts came from. */
  readonly param: string;
  /** Most tokens of a text; as many as fit when `null`. */
  readonly maxTokens: number | null;
  /** The likeliest tokens told of beside each; nothing is told when `null`. */
  readonly logprobs: number | null;
  /** Gives all texts up. */
  readonly signal: AbortSignal;
  /** Counts. */
  readonly metrics: ServeMetrics;
}

/**
 * Begins a request's texts, all of them or none.
 *
 * @throws {RequestFailure} 400 when a prompt is too long
 * @throws {BusyError} when too many requests wait
 */
export function startJob(engine: ServeEngine, request: CommonRequest, options: JobOptions): Job {
  const { prompts, signal, metrics } = options, n = request.n ?? 1;
  if (prompts.length * n > MAX_CHOICES) {
    throw new RequestFailure(
      400,
      `Expected at most ${MAX_CHOICES} texts, received a request for ${prompts.length * n}`,
      {
        param: "n",
      },
    );
  }
  for (const prompt of prompts) checkLength(engine, prompt, options);
  const eosTokenIds = [...request.ignore_eos ? [] : engine.eosTokenIds, ...request.stop_token_ids ?? []];
  const stop = typeof request.stop === "string" ? [request.stop] : request.stop ?? [];
  const sampling = samplingOf(engine, request),
    seed = request.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]!;
  const given = new AbortController(), give = () => given.abort();
  signal.addEventListener("abort", give);
  if (signal.aborted) give();
  const writers: AsyncGenerator<JobEvent, void, void>[] = [], choices: Choice[] = [];
  try {
    for (const prompt of prompts) {
      for (let i = 0; i < n; i++) {
        const answer = new AnswerText(engine.text, { stop, eosTokenIds }),
          random = new PythonRandom(Math.abs(seed) + i);
        const choice = { index: choices.length, prompt, answer },
          clock = { asked: performance.now(), begun: NaN };
        const rounds = engine.scheduler.submit({
          prompt,
          maxTokens: Math.min(options.maxTokens ?? Infinity, engine.maxTokens - prompt.length),
          sampling,
          uniform: () => random.float(),
          eosTokenIds,
          signal: given.signal,
          onBegin: () => void (clock.begun = performance.now()),
          ...(options.logprobs === null ? {} : { logprobs: options.logprobs }),
          ...(typeof request.num_spec_tokens === "number" ? { numSpecTokens: request.num_spec_tokens } : {}),
        });
        choices.push(choice);
        writers.push(write(choice, { rounds, clock, metrics }));
      }
    }
  } catch (error) {
    give(); // those that were taken already
    signal.removeEventListener("abort", give);
    throw error;
  }
  metrics.asked(n);
  return {
    choices,
    promptTokens: prompts.reduce((sum, { length }) => sum + length, 0),
    async *events() {
      try {
        yield* writers.length === 1 ? writers[0]! : merged(writers);
      } finally {
        give();
        signal.removeEventListener("abort", give);
      }
    },
  };
}

async function* write(
  choice: Choice,
  { rounds, clock, metrics }: {
    readonly rounds: ReturnType<ServeEngine["scheduler"]["submit"]>;
    readonly clock: { readonly asked: number; readonly begun: number };
    readonly metrics: ServeMetrics;
  },
): AsyncGenerator<JobEvent, void, void> {
  const { answer, prompt } = choice;
  let first: number | null = null, last = 0, reason: FinishedReason = "abort";
  try {
    for await (const round of rounds) {
      const now = performance.now();
      metrics.round(round, first === null ? null : (now - last) / 1000);
      first ??= now;
      last = now;
      const delta = answer.take(round);
      yield {
        choice,
        delta,
        round: { proposed: round.proposed.length, accepted: round.accepted },
        last: false,
      };
      if (answer.finish) break;
    }
    yield { choice, delta: answer.end(), round: { proposed: 0, accepted: 0 }, last: true };
    reason = answer.finish!;
  } catch (error) {
    if (!(error instanceof AbortedError)) reason = "error";
    throw error;
  } finally {
    const since = (time: number) => (time - clock.asked) / 1000;
    metrics.finished({
      reason,
      promptTokens: prompt.length,
      tokens: answer.counts.tokens,
      latency: since(performance.now()),
      queued: Number.isNaN(clock.begun) ? null : since(clock.begun),
      first: first === null ? null : since(first),
    });
  }
}

/** Several sources as one, in the order in which they give. */
async function* merged<T>(sources: readonly AsyncGenerator<T, void, void>[]): AsyncGenerator<T, void, void> {
  const next = async (i: number) => ({ i, result: await sources[i]!.next() });
  const pending = new Map(sources.map((_, i) => [i, next(i)]));
  for (const promise of pending.values()) promise.catch(() => {}); // one error is told, the others are its kin
  while (pending.size > 0) {
    const { i, result } = await Promise.race(pending.values());
    if (result.done) {
      pending.delete(i);
      continue;
    }
    yield result.value;
    const promise = next(i);
    promise.catch(() => {});
    pending.set(i, promise);
  }
}

function samplingOf({ sampling }: ServeEngine, request: CommonRequest): Sampling {
  return {
    temperature: request.temperature ?? sampling.temperature,
    topP: request.top_p ?? sampling.topP ?? 1,
    topK: Math.max(0, request.top_k ?? sampling.topK ?? 0),
  };
}

function checkLength({ maxTokens: most }: ServeEngine, { length }: Int32Array, options: JobOptions): void {
  const { maxTokens: wanted, param } = options;
  if (length === 0) {
    throw new RequestFailure(400, "Expected a prompt of at least one token, received none", { param });
  }
  if (length + (wanted ?? 1) <= most) return;
  const asked = wanted === null || length >= most
    ? `your prompt has ${length} tokens`
    : `you requested ${length + wanted} tokens (${length} in the prompt, ${wanted} in the answer)`;
  throw new RequestFailure(400, `This model's maximum context length is ${most} tokens. However, ${asked}`, {
    param: wanted === null || length >= most ? param : "max_tokens",
    code: "context_length_exceeded",
  });
}
