/** The engine on a vLLM server: asks for completions of one token, and takes the prompt's hidden states from its files. */
import { apiBase, servedModel } from "../../../core/endpoint.ts";
import {
  AbortedError,
  ConfigError,
  EndpointError,
  FormatError,
  NotFoundError,
} from "../../../core/errors.ts";
import { pauseFor, requestJson } from "../../../core/json_request.ts";
import type { Engine, EngineOptions, GenerateRequest, VerifierInfo } from "../../../core/plugin.ts";
import { inFlight, Slots } from "../../../core/slots.ts";
import type { HostTensor } from "../../../core/tensor.ts";
import { dropStates, requireSameTokens, takeStates } from "./states.ts";

/** What may be set beyond the contract. */
export interface VllmSettings {
  /** Requests under way at once; 64 unless given: enough that a large server always has work. */
  readonly concurrency?: number;
  /** Times that a request is tried in all; 8 unless given. */
  readonly tries?: number;
  /** Milliseconds before the second try; 500 unless given. */
  readonly backoffMs?: number;
  /** Milliseconds that a try may take; ten minutes unless given. */
  readonly timeoutMs?: number;
  /** Milliseconds until a file of states is written; two minutes unless given. */
  readonly limitMs?: number;
  /** Milliseconds until a file of states, or its lock, is there; five seconds unless given. */
  readonly appearMs?: number;
}

/** Times that states are asked for whose file was damaged or is missing. */
const FILE_TRIES = 3;

/**
 * Opens the engine: asks the server what it serves.
 *
 * @throws {ConfigError} when there is no address
 * @throws {EndpointError} when the server does not answer
 */
export async function openVllmEngine(options: EngineOptions, settings: VllmSettings = {}): Promise<Engine> {
  if (options.endpoint === undefined) {
    throw new ConfigError("endpoint", "expected the address of a vLLM server, received none", {
      hint: "Start one as engines vllm-command says, and give its address: --endpoint http://127.0.0.1:8000",
    });
  }
  const base = apiBase(options.endpoint);
  const { id, maxTokens } = await servedModel(base, options.signal ? { signal: options.signal } : {});
  return new VllmEngine(options, { ...settings, base, model: id, maxTokens });
}

/** A server, and what is under way there. */
class VllmEngine implements Engine {
  readonly info: VerifierInfo;
  readonly #url: string;
  readonly #model: string;
  readonly #maxTokens: number;
  readonly #settings: Required<VllmSettings>;
  readonly #slots: Slots;
  readonly #stop = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #onAbort = (): void => this.#stop.abort();

  constructor(
    { info, signal }: EngineOptions,
    options: VllmSettings & { base: string; model: string; maxTokens: number | null },
  ) {
    this.info = info;
    this.#url = `${options.base}/completions`;
    this.#model = options.model;
    this.#maxTokens = options.maxTokens ?? info.maxPositions;
    this.#settings = {
      concurrency: options.concurrency ?? 64,
      tries: options.tries ?? 8,
      backoffMs: options.backoffMs ?? 500,
      timeoutMs: options.timeoutMs ?? 600_000,
      limitMs: options.limitMs ?? 120_000,
      appearMs: options.appearMs ?? 5000,
    };
    this.#slots = new Slots(this.#settings.concurrency);
    this.#outer = signal;
    if (signal?.aborted) this.#stop.abort();
    signal?.addEventListener("abort", this.#onAbort);
  }

  async capture(samples: readonly Int32Array[], layers: readonly number[]): Promise<HostTensor[][]> {
    samples.forEach((tokens, i) => this.#checkPrompt(tokens, `sample ${i}`));
    const found: HostTensor[][] = samples.map(() => []);
    // The first failure ends the others: what they say then is only that they were ended.
    const stop = new AbortController(), end = () => stop.abort();
    if (this.#stop.signal.aborted) stop.abort();
    this.#stop.signal.addEventListener("abort", end);
    let failure: unknown;
    const work = (index: number) =>
      this.#slots.run(async () => {
        try {
          found[index] = await this.#states(samples[index]!, layers, stop.signal);
        } catch (error) {
          failure ??= error;
          stop.abort();
        }
      });
    try {
      for await (const _ of inFlight(samples.keys(), { limit: this.#settings.concurrency, work })) {
        if (failure !== undefined) throw failure;
      }
    } finally {
      this.#stop.signal.removeEventListener("abort", end);
    }
    return found;
  }

  async generate(request: GenerateRequest): Promise<Int32Array> {
    const { tokens, temperature = 0, eosTokenIds } = request;
    this.#checkPrompt(tokens, "prompt");
    const maxTokens = Math.min(request.maxTokens, this.#maxTokens - tokens.length);
    if (maxTokens <= 0) return new Int32Array(0);
    const signal = this.#stop.signal;
    const answer = await this.#slots.run(() =>
      this.#complete(tokens, {
        maxTokens,
        signal,
        // The model's own end does not count where other ones are given.
        sampling: { temperature, ...(eosTokenIds ? { stop_token_ids: eosTokenIds, ignore_eos: true } : {}) },
      })
    );
    if (answer.path !== null) await dropStates(answer.path, this.#expectedStates(tokens, signal));
    const { vocabSize } = this.info, written = answer.tokens;
    const valid = Array.isArray(written) && written.length <= maxTokens &&
      written.every((id) => Number.isInteger(id) && id >= 0 && id < vocabSize);
    if (!valid) {
      throw new EndpointError(
        this.#url,
        `expected at most ${maxTokens} token ids below ${vocabSize}, received others`,
        { hint: "The server must serve the very model that is named here, and know return_token_ids" },
      );
    }
    return Int32Array.from(written);
  }

  /** States of one prompt. A file that is damaged or missing is asked for again: each request writes its own. */
  async #states(tokens: Int32Array, layers: readonly number[], signal: AbortSignal): Promise<HostTensor[]> {
    for (let tried = 1;; tried++) {
      const { path } = await this.#complete(tokens, { maxTokens: 1, sampling: { temperature: 0 }, signal });
      if (path === null) {
        throw new EndpointError(
          this.#url,
          "expected the path of hidden states, received an answer without one",
          {
            hint: "The server must be started for it: engines vllm-command prints how",
          },
        );
      }
      try {
        return await takeStates(path, { ...this.#expectedStates(tokens, signal), layers });
      } catch (cause) {
        if (!(cause instanceof FormatError || cause instanceof NotFoundError) || tried >= FILE_TRIES) {
          throw cause;
        }
        await pauseFor(this.#settings.backoffMs * 2 ** (tried - 1), signal);
      }
    }
  }

  #expectedStates(tokens: Int32Array, signal: AbortSignal) {
    const { limitMs, appearMs } = this.#settings;
    return { url: this.#url, tokens, hiddenSize: this.info.hiddenSize, limitMs, appearMs, signal };
  }

  /** One completion, and where the server left the prompt's states. */
  async #complete(
    tokens: Int32Array,
    options: {
      readonly maxTokens: number;
      readonly sampling: Readonly<Record<string, unknown>>;
      readonly signal: AbortSignal;
    },
  ): Promise<{ readonly path: string | null; readonly tokens: unknown }> {
    const { tries, backoffMs, timeoutMs } = this.#settings, { maxTokens, sampling, signal } = options;
    if (signal.aborted) throw new AbortedError();
    const answer = await requestJson(this.#url, {
      body: {
        model: this.#model,
        prompt: Array.from(tokens),
        max_tokens: maxTokens,
        // Said, for else the model's generation_config.json decides.
        top_p: 1,
        top_k: 0,
        repetition_penalty: 1,
        ...sampling,
        return_token_ids: true,
      },
      tries,
      backoffMs,
      timeoutMs,
      signal,
    });
    const choice = field(Array.isArray(answer.choices) ? answer.choices[0] : undefined);
    const echoed = choice.prompt_token_ids ?? answer.prompt_token_ids;
    if (Array.isArray(echoed)) requireSameTokens(this.#url, tokens, echoed);
    const path = field(answer.kv_transfer_params).hidden_states_path;
    return { path: typeof path === "string" ? path : null, tokens: choice.token_ids };
  }

  #checkPrompt(tokens: Int32Array, what: string): void {
    const { vocabSize } = this.info, most = this.#maxTokens - 1;
    if (tokens.length === 0 || tokens.length > most) {
      throw new ConfigError(what, `expected 1 to ${most} tokens, received ${tokens.length}`, {
        hint:
          "The server needs room for one more token: start it with a larger --max-model-len, or cut samples",
      });
    }
    const bad = tokens.find((id) => id < 0 || id >= vocabSize);
    if (bad !== undefined) {
      throw new ConfigError(what, `expected token ids from 0 to ${vocabSize - 1}, received ${bad}`);
    }
  }

  [Symbol.dispose](): void {
    this.#outer?.removeEventListener("abort", this.#onAbort);
    this.#stop.abort();
  }
}

function field(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}
