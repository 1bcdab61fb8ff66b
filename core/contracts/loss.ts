/** The contract of a loss: how far a draft's distribution of the next token is from the verifier's. */
import type { Op } from "../tensor.ts";
import type { PluginHeader } from "./header.ts";

/** A loss of next tokens. Any draft can be trained with it. */
export interface LossPlugin extends PluginHeader<"loss"> {
  /** Loads its code. */
  load(): Promise<TokenLoss>;
}

/** A loss's code. */
export interface TokenLoss {
  /** Row by row, with its gradient. */
  readonly rows: RowLossOp;
}

/**
 * logits f32 `[R, V]` (the draft's), targets f32 `[R, V]` (the verifier's, logits too), weights f32 `[R]` →
 * loss f32 `[R]`, each row's times its weight, and dlogits f32 `[R, V]`, the gradient of their sum by the logits.
 * A row of weight 0 is not computed and gives zeros, whatever it holds. It is called on blocks of rows: neither
 * distribution is ever there for all rows of a batch at once.
 */
export type RowLossOp = Op<Record<never, never>>;

/** A loss and its share in a sum. */
export interface LossTerm {
  /** Name of the loss plugin. */
  readonly name: string;
  /** Factor in the sum. */
  readonly weight: number;
  /** The loss. */
  readonly rows: RowLossOp;
}
