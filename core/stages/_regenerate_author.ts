/** Who writes answers: a server, or the verifier on this machine. */
import type { AcceptanceRates } from "../decode/acceptance.ts";
import type { Message } from "../text/chat_template.ts";

/** How answers are drawn; what is absent is the author's own choice. */
export interface AnswerSampling {
  /** 0 is greedy. */
  readonly temperature?: number;
  /** Share of the mass that is sampled from. */
  readonly topP?: number;
  /** How many tokens are sampled from; 0 is all. */
  readonly topK?: number;
  /** Seed of sampling. */
  readonly seed?: number;
}

/** An answer. */
export interface Answer {
  /** Its text. */
  readonly text: string;
  /** What was thought before, where that is told apart. */
  readonly reasoning: string | null;
  /** Why it ended: `stop`, `length`, …. */
  readonly finishReason: string | null;
  /** Tokens of the prompt; 0 when unknown. */
  readonly promptTokens: number;
  /** Tokens of the answer; 0 when unknown. */
  readonly completionTokens: number;
}

/** Writes answers. */
export interface Author extends AsyncDisposable {
  /** The model's name. */
  readonly model: string;
  /** Address that is asked; `null` where it is this machine. */
  readonly endpoint: string | null;
  /** Answers that are written at once. */
  readonly concurrency: number;
  /** What a person should know. */
  readonly warnings: readonly string[];
  /**
   * Answers a conversation, the `index`-th of the data, or says in a few words why it cannot: it is too long, or the
   * template refuses it.
   */
  answer(messages: readonly Message[], index: number): Promise<Answer | { readonly refused: string }>;
  /** How many proposals were accepted, where a speculator helps. */
  acceptance(): AcceptanceRates | null;
}
