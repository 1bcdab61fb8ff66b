/** What decoding is asked for, and what it gives. */
import type { ImagePatches, Proposer } from "../plugin.ts";
import type { CoreOps } from "../runtime.ts";
import type { TokenLogprobs } from "./logprobs.ts";
import type { Sampling, Uniform } from "./sampling.ts";

/** A draft at hand. */
export interface Draft {
  /** Its plugin's name, for messages. */
  readonly name: string;
  /** What proposes. */
  readonly proposer: Proposer;
  /** The hidden states it reads, serving convention. */
  readonly layers: readonly number[];
}

/** How one text is continued. */
export interface SequenceOptions {
  /** Most tokens written. */
  readonly maxTokens: number;
  /** Tokens proposed in a round, at most 63; 3 when absent, 0 for plain decoding. */
  readonly numSpecTokens?: number;
  /** Greedy when absent or of temperature 0. */
  readonly sampling?: Sampling;
  /** Numbers for sampling, one drawn a token; needed when it is not greedy. */
  readonly uniform?: Uniform;
  /** Tokens that end the text (and are part of it); the verifier's when absent. */
  readonly eosTokenIds?: readonly number[];
  /**
   * Images of the prompt, in the order of their tokens, of which each has as many as rows. The prompt is read in one pass, then.
   */
  readonly images?: readonly ImagePatches[];
  /** Say how likely each token was, beside this many of the most likely ones; nothing when absent. */
  readonly logprobs?: number;
}

/** What the sequences of a loop share. */
export interface LoopOptions {
  /** The ops that the loop itself uses. */
  readonly ops: CoreOps;
  /** Proposes tokens; plain decoding without it. */
  readonly draft?: Draft;
  /**
   * Most tokens proposed in a step, over all texts and shared evenly: where many texts keep the machine busy, checking
   * proposals costs more than it gains. No limit when absent.
   */
  readonly maxProposed?: number;
  /** Prompt tokens taken in one pass; 512 when absent. */
  readonly prefillRows?: number;
  /** Storage of keys and values; f32 when absent. */
  readonly kvDtype?: "f32" | "bf16";
  /** Milliseconds after which a draft that has not proposed is given up; none when absent. */
  readonly pluginTimeout?: number;
}

/** How a text is continued. */
export interface DecodeOptions extends SequenceOptions, LoopOptions {
  /** Stops the loop between two passes. */
  readonly signal?: AbortSignal;
}

/** What one pass of the verifier brought. */
export interface DecodeRound {
  /** Tokens in the sequence that the verifier had seen before: the position of the newest one. */
  readonly position: number;
  /** What the draft proposed; empty in the first round, which is the prompt's, and in plain decoding. */
  readonly proposed: readonly number[];
  /** How many positions it proposed for: as many as tokens for a chain, the levels of a tree. */
  readonly positions: number;
  /** How many of them the verifier took. */
  readonly accepted: number;
  /** The tokens gained, cut at the end of the text. */
  readonly tokens: readonly number[];
  /** How likely the tokens were, where that was asked for. */
  readonly logprobs?: readonly TokenLogprobs[];
}
