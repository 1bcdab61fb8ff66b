/** What answers requests: a model, its text side, and the loop that writes. */
import type { Sampling } from "../decode/sampling.ts";
import type { Scheduler } from "../decode/scheduler.ts";
import type { TextModel } from "../text/model.ts";

/** What answers requests. */
export interface ServeEngine {
  /** The name it is asked for by. */
  readonly model: string;
  /** Its text side. */
  readonly text: TextModel;
  /** What writes. */
  readonly scheduler: Scheduler;
  /** Most tokens of prompt and answer together. */
  readonly maxTokens: number;
  /** Tokens it knows. */
  readonly vocabSize: number;
  /** Tokens that end a text. */
  readonly eosTokenIds: readonly number[];
  /** How tokens are drawn where a request does not say. */
  readonly sampling: Sampling;
  /** Tokens proposed a round where a request does not say; 0 without a draft. */
  readonly numSpecTokens: number;
  /** When it was made ready, in seconds since 1970. */
  readonly created: number;
}
