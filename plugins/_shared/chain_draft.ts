/** What drafts have in common that propose by feeding on their own output: Eagle in all its versions. */
import type { Run, Tensor } from "../../core/tensor.ts";
import type { DecoderContext } from "./decoder.ts";

/** Sizes that keys, states and rotations go by. */
export interface ChainSizes {
  /** Decoder layers. */
  readonly layers: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Entries of a head. */
  readonly headDim: number;
  /** Added to the mean square in norms. */
  readonly eps: number;
  /** States of the verifier that a row is made of. */
  readonly states: number;
  /** Width of each. */
  readonly target: number;
}

/** What one pass through a draft's layers takes. */
export interface ChainPass {
  /** i32 `[T]`: the verifier's id of the token at each row. */
  readonly ids: Tensor;
  /** f32 `[T, H]`: what {@linkcode ChainDraft.enter} made of the verifier's states, or the last pass's output. */
  readonly hidden: Tensor;
  /** Whether `hidden` may be changed, and sums formed in place: nobody reads it afterwards, and no tape looks on. */
  readonly inPlace?: boolean;
  /** Rotation and attention of each layer. */
  context(layer: number): DecoderContext;
}

/** A draft with its weights: how a step is computed. Whatever keeps keys and picks rows is the caller's. */
export interface ChainDraft {
  /** The plugin, for messages. */
  readonly plugin: string;
  /** Its sizes. */
  readonly sizes: ChainSizes;
  /** Its rotary frequencies; `maxPositions` is `null` where the config does not say. */
  readonly rope: {
    readonly theta: number;
    readonly scaling: Readonly<Record<string, unknown>> | null;
    readonly maxPositions: number | null;
  };
  /** The verifier's states side by side, f32 `[T, states · target]`, as the first pass takes them: f32 `[T, H]`. */
  enter(run: Run, states: Tensor): Tensor;
  /** One pass: f32 `[T, H]`, which the next pass takes as its hidden state. */
  pass(run: Run, pass: ChainPass): Tensor;
  /** The most likely next token after each row of a pass's output, as the verifier's ids: i32 `[T]`. */
  likeliest(run: Run, hidden: Tensor): Tensor;
  /** The most likely next tokens, as the verifier's ids, i32 `[T, count]`, and the logarithms of their probabilities. */
  ranked(run: Run, hidden: Tensor, count: number): { readonly tokens: Tensor; readonly logprobs: Tensor };
  /** Entries of its vocabulary. */
  readonly vocabulary: number;
}
