/** A text being written: its tokens, its cache, its draft's session. */
import { ConfigError, PluginError, SpeculatorsError } from "../errors.ts";
import type { KvCache, ProposerSession, VerifierModel } from "../plugin.ts";
import { logprobsOf, type TokenLogprobs } from "./logprobs.ts";
import type { LoopOptions, SequenceOptions } from "./options.ts";
import { draw, probabilities } from "./sampling.ts";
import type { States } from "./states.ts";

/** Most tokens that a round proposes: with the newest one they are what a tree's rows can see of each other. */
export const MOST_PROPOSED = 63;

/** What the verifier said at the rows of a sequence. */
export interface Verdict {
  /** The most likely token after each row. */
  readonly greedy: ArrayLike<number>;
  /** f32 `[rows, V]`, where the sequence {@linkcode Sequence.wantsLogits}. */
  readonly logits: Float32Array | null;
}

/** A text being written. */
export class Sequence implements Disposable {
  /** How it is continued. */
  readonly options: SequenceOptions;
  /** Keys and values of the rows that the verifier has seen. */
  readonly cache: KvCache;
  /** The draft at work; `null` in plain decoding. */
  readonly session: ProposerSession | null;
  /** Whether the verifier's most likely token is taken. */
  readonly greedy: boolean;
  /** Tokens of the prompt. */
  readonly promptLength: number;
  /** Prompt tokens that the verifier has read. */
  read = 0;
  /** Row that {@linkcode Sequence.states} begin with: the draft has seen those before. */
  position = 0;
  /** Tokens that may still be written. */
  left: number;
  readonly #eos: readonly number[];
  readonly #history: Int32Array;
  #length: number;
  #states: readonly States[] = [];
  #open = true;

  /**
   * Begins a text.
   *
   * @param prompt i32 `[T]`, at least one token
   * @throws {ConfigError} when the prompt is empty or too long, or sampling lacks numbers
   * @throws {PluginError} when the draft cannot begin
   */
  constructor(model: VerifierModel, prompt: Int32Array, options: SequenceOptions & LoopOptions) {
    const { sampling, maxTokens, draft } = options, { maxPositions, eosTokenIds } = model.info;
    this.options = options;
    this.greedy = !sampling || sampling.temperature === 0;
    this.#eos = options.eosTokenIds ?? eosTokenIds;
    if (!this.greedy && !options.uniform) {
      throw new ConfigError("sampling", "expected a source of numbers, received none");
    }
    if (prompt.length === 0) {
      throw new ConfigError("prompt", "expected at least one token, received none", {
        hint: "Give a prompt that is not empty",
      });
    }
    if (prompt.length >= maxPositions) {
      throw new ConfigError(
        "prompt",
        `expected less than the model's ${maxPositions} positions, received ${prompt.length} tokens`,
        { hint: "Shorten the prompt" },
      );
    }
    const capacity = Math.min(maxPositions, prompt.length + maxTokens + (draft ? this.mostProposed : 0));
    this.promptLength = prompt.length;
    // A text may fill the model's positions, not go past them: so it ends at the same token with and without a draft.
    this.left = Math.min(maxTokens, maxPositions - prompt.length);
    this.#history = new Int32Array(capacity + 1);
    this.#history.set(prompt);
    this.#length = prompt.length;
    this.cache = model.cache(capacity, options.kvDtype ? { dtype: options.kvDtype } : {});
    try {
      this.session = draft && this.mostProposed > 0 ? draft.proposer.start(capacity) : null;
    } catch (cause) {
      this.cache[Symbol.dispose]();
      if (cause instanceof SpeculatorsError) throw cause;
      throw new PluginError(draft!.name, "it failed while beginning a text", { cause });
    }
  }

  /** Most tokens proposed in a round. */
  get mostProposed(): number {
    return Math.max(0, Math.min(this.options.numSpecTokens ?? 3, MOST_PROPOSED));
  }

  /** Tokens that can be proposed now. */
  get room(): number {
    return this.session ? Math.max(0, Math.min(this.mostProposed, this.cache.capacity - this.#length)) : 0;
  }

  /** Tokens so far. */
  get length(): number {
    return this.#length;
  }

  /** Tokens so far, or the first of them; the caller must not change them. */
  history(length: number = this.#length): Int32Array {
    return this.#history.subarray(0, length);
  }

  /** Whether the verifier's logits are needed, not only its choice. */
  get wantsLogits(): boolean {
    return !this.greedy || this.options.logprobs !== undefined;
  }

  /** Whether the text has come to its end. */
  get ended(): boolean {
    return this.left <= 0 ||
      (this.#length > this.promptLength && this.#eos.includes(this.#history[this.#length - 1]!));
  }

  /** The verifier's states that the draft has not seen, rows `position …`. */
  get states(): readonly States[] {
    return this.#states;
  }

  /** Replaces the states; the old ones are released. */
  set states(states: readonly States[]) {
    const old = this.#states;
    this.#states = states;
    for (const { from } of old) from.release();
  }

  /** The verifier's next token after a row. */
  choose({ greedy, logits }: Verdict, row: number): number {
    if (this.greedy) return greedy[row]!;
    const { sampling, uniform } = this.options;
    return draw(probabilities(rowOf(logits!, greedy.length, row), sampling!), uniform!);
  }

  /** Adds tokens, cut at the end of the text; `rows[i]` is where token i was chosen. */
  push(
    gained: readonly number[],
    rows: readonly number[],
    verdict: Verdict,
  ): { readonly tokens: readonly number[]; readonly logprobs?: readonly TokenLogprobs[] } {
    const end = gained.findIndex((token) => this.#eos.includes(token));
    const tokens = gained.slice(0, Math.min(end < 0 ? gained.length : end + 1, this.left));
    this.#history.set(tokens, this.#length);
    this.#length += tokens.length;
    this.left -= tokens.length;
    const { logprobs } = this.options, { logits, greedy } = verdict;
    if (logprobs === undefined || !logits) return { tokens };
    return {
      tokens,
      logprobs: tokens.map((token, i) => logprobsOf(rowOf(logits, greedy.length, rows[i]!), token, logprobs)),
    };
  }

  /** Frees its memory; a second time does nothing. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.states = [];
    this.session?.[Symbol.dispose]();
    this.cache[Symbol.dispose]();
  }
}

function rowOf(logits: Float32Array, rows: number, row: number): Float32Array {
  const width = logits.length / rows;
  return logits.subarray(row * width, (row + 1) * width);
}
