/**
 * The Eagle-3 draft model (Li et al. 2025, arXiv 2503.01840): the verifier's hidden states, brought to the draft's width,
 * meet the embedding of the next token; the layers' own output stands in for the verifier's in later steps.
 */
import { PluginError } from "../../core/errors.ts";
import type { Run, Tensor } from "../../core/tensor.ts";
import { argmax, concat, gather, linear, rmsnorm, slice, topK } from "../../kernels/ops/mod.ts";
import type { ChainDraft, ChainPass } from "../_shared/chain_draft.ts";
import { addAttention, addMlp, decoderLayer, type DecoderWeights } from "../_shared/decoder.ts";
import { decoderWeights, wideVectors } from "../_shared/decoder_weights.ts";
import { layerRope } from "../_shared/layer_config.ts";
import { type Eagle3Config, eagle3Sizes } from "./config.ts";
import { verifierIds } from "../_shared/verifier_ids.ts";

/** The draft's weights by what they do. V the verifier's vocabulary, H the draft's width. */
export interface Eagle3Weights {
  /** `[V, H]`. */
  readonly embed: Tensor;
  /** `[H, states · target width]`. */
  readonly fc: Tensor;
  /** f32 `[H]`: norm of the state that enters the first layer. */
  readonly hiddenNorm: Tensor;
  /** Decoder layers; the first one's q, k and v take 2·H. */
  readonly layers: readonly DecoderWeights[];
  /** f32 `[H]`. */
  readonly norm: Tensor;
  /** `[draft vocabulary, H]`. */
  readonly head: Tensor;
  /** i32 `[draft vocabulary]`, or `null` where the vocabularies are one. */
  readonly d2t: Tensor | null;
  /** f32 `[states · target width]`: norm of the joined states, where there is one. */
  readonly inputNorm: Tensor | null;
  /** f32 `[target width]` each: norms of the states before they are joined, where there are any. */
  readonly fcNorms: readonly Tensor[] | null;
  /** Whether the final norm is part of what the next pass is fed. */
  readonly normOutput: boolean;
  /** Whether the normed state is the first layer's residual. */
  readonly normBeforeResidual: boolean;
  /** Added to the mean square in norms. */
  readonly eps: number;
}

/**
 * The weights of a draft out of its tensors. Norms and biases that are stored in 16 bits are widened by `run`; the
 * widened ones are the caller's (or the open scope's).
 *
 * @throws {PluginError} when a tensor is missing
 */
export function eagle3Weights(
  run: Run,
  config: Eagle3Config,
  tensors: ReadonlyMap<string, Tensor>,
): Eagle3Weights {
  const { layers, mapped, eps, states } = eagle3Sizes(config);
  const wide = wideVectors(run, tensors);
  const need = (name: string): Tensor => {
    const tensor = wide.get(name);
    if (!tensor) throw new PluginError("eagle3", `expected a tensor "${name}", received ${wide.size} others`);
    return tensor;
  };
  return {
    embed: need("embed_tokens.weight"),
    fc: need("fc.weight"),
    hiddenNorm: need("layers.0.hidden_norm.weight"),
    layers: Array.from({ length: layers }, (_, i) => decoderWeights(wide, `layers.${i}`)),
    norm: need("norm.weight"),
    head: need("lm_head.weight"),
    d2t: mapped ? need("d2t") : null,
    inputNorm: config.norm_before_fc ? need("input_norm.weight") : null,
    fcNorms: config.fc_norm ? Array.from({ length: states }, (_, i) => need(`fc_norm.${i}.weight`)) : null,
    normOutput: config.norm_output ?? false,
    normBeforeResidual: config.norm_before_residual ?? false,
    eps,
  };
}

/** The verifier's states side by side, f32 `[T, states · target width]`, at the draft's width: f32 `[T, H]`. */
function enter(run: Run, w: Eagle3Weights, states: Tensor): Tensor {
  let x = states;
  if (w.inputNorm) x = rmsnorm(run, x, w.inputNorm, w.eps);
  if (w.fcNorms) {
    const width = w.fcNorms[0]!.shape[0]!;
    const normed = w.fcNorms.map((norm, i) => {
      const part = slice(run, x, { axis: 1, start: i * width, end: (i + 1) * width });
      return rmsnorm(run, part, norm, w.eps);
    });
    x = concat(run, normed, 1);
  }
  return linear(run, x, w.fc);
}

/** One pass: f32 `[T, H]`, which the next pass takes as its hidden state; before the final norm unless that is fed too. */
function layers(run: Run, w: Eagle3Weights, pass: ChainPass): Tensor {
  const [first, ...rest] = w.layers as [DecoderWeights, ...DecoderWeights[]];
  const context = pass.context(0), pick = context.ask?.pick ?? ((x: Tensor) => x);
  const embedded = rmsnorm(run, gather(run, w.embed, pass.ids), first.inputNorm, w.eps);
  const normed = rmsnorm(run, pass.hidden, w.hiddenNorm, w.eps);
  const residual = pick(w.normBeforeResidual ? normed : pass.hidden), { inPlace = false } = pass;
  const middle = addAttention(run, residual, {
    x: concat(run, [embedded, normed], 1),
    weights: first.attention,
    context,
    inPlace,
  });
  const x = rmsnorm(run, middle, first.postNorm, w.eps);
  const out = addMlp(run, middle, { x, weights: first.mlp, inPlace });
  const last = rest.reduce(
    (x, weights, i) => decoderLayer(run, x, { weights, context: pass.context(i + 1), inPlace }),
    out,
  );
  return w.normOutput ? rmsnorm(run, last, w.norm, w.eps) : last;
}

/** What the head takes of a pass's output: f32 `[T, H]`, normed. */
export function finalNorm(run: Run, w: Eagle3Weights, hidden: Tensor): Tensor {
  return w.normOutput ? hidden : rmsnorm(run, hidden, w.norm, w.eps);
}

/** The draft as its unrolling and its proposer take it. */
export function eagle3Chain(config: Eagle3Config, w: Eagle3Weights): ChainDraft {
  return {
    plugin: "eagle3",
    sizes: eagle3Sizes(config),
    rope: layerRope(config.transformer_layer_config),
    enter: (run, states) => enter(run, w, states),
    pass: (run, pass) => layers(run, w, pass),
    likeliest: (run, hidden) =>
      verifierIds(run, argmax(run, linear(run, finalNorm(run, w, hidden), w.head)), w.d2t),
    ranked(run, hidden, count) {
      const { logprobs, places } = topK(run, linear(run, finalNorm(run, w, hidden), w.head), count);
      return { logprobs, tokens: verifierIds(run, places, w.d2t) };
    },
    vocabulary: w.head.shape[0]!,
  };
}
