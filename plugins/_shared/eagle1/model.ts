/**
 * The draft model of Eagle v1 (Li et al. 2024, arXiv 2401.15077, section 3.1) and HASS (Zhang et al. 2025, arXiv
 * 2408.15766): the verifier's feature, its last state after the final norm, is joined with the embedding of the token that
 * came after it; one decoder layer makes of both the next feature, from which the verifier's own head reads a token.
 */
import { PluginError } from "../../../core/errors.ts";
import type { Run, Tensor } from "../../../core/tensor.ts";
import { add, argmax, concat, gather, linear, rmsnorm, topK } from "../../../kernels/ops/mod.ts";
import type { ChainDraft, ChainPass } from "../chain_draft.ts";
import { addAttention, addMlp, type DecoderWeights } from "../decoder.ts";
import { blockWeights, wideVectors } from "../decoder_weights.ts";
import { layerRope, layerSizes } from "../layer_config.ts";
import type { EagleConfig } from "./config.ts";

/** The draft's weights by what they do. V the vocabulary, H the width, both the verifier's. */
export interface EagleWeights {
  /** `[V, H]`. */
  readonly embed: Tensor;
  /** f32 `[H]`: norm of the embedding, where there is one. */
  readonly embedNorm: Tensor | null;
  /** `[H, 2·H]`: takes the embedding and the feature side by side. */
  readonly fusion: Tensor;
  /** f32 `[H]`, where there is one. */
  readonly fusionBias: Tensor | null;
  /** f32 `[H]`: norm before attention, where there is one. */
  readonly inputNorm: Tensor | null;
  /** The rest of the layer. */
  readonly layer: Omit<DecoderWeights, "inputNorm">;
  /** f32 `[H]`: norm before the head, where there is one. */
  readonly headNorm: Tensor | null;
  /** `[V, H]`. */
  readonly head: Tensor;
  /** f32 `[H]`: the verifier's final norm. */
  readonly verifierNorm: Tensor;
  /** Added to the mean square in norms. */
  readonly eps: number;
}

/**
 * The weights of a draft out of its tensors. Norms and biases that are stored in 16 bits are widened by `run`; the
 * widened ones are the caller's (or the open scope's).
 *
 * @throws {PluginError} when a tensor is missing
 */
export function eagleWeights(
  run: Run,
  config: EagleConfig,
  tensors: ReadonlyMap<string, Tensor>,
): EagleWeights {
  const { layernorms = false, fusion_bias = false, transformer_layer_config } = config;
  const wide = wideVectors(run, tensors);
  const need = (name: string): Tensor => {
    const tensor = wide.get(name);
    if (!tensor) throw new PluginError("eagle", `expected a tensor "${name}", received ${wide.size} others`);
    return tensor;
  };
  return {
    embed: need("embed_tokens.weight"),
    embedNorm: layernorms ? need("embedding_layernorm.weight") : null,
    fusion: need("fusion_fc.weight"),
    fusionBias: fusion_bias ? need("fusion_fc.bias") : null,
    inputNorm: layernorms ? need("transformer.input_layernorm.weight") : null,
    layer: blockWeights(wide, "transformer"),
    headNorm: layernorms ? need("pre_lm_head_layernorm.weight") : null,
    head: need("lm_head.weight"),
    verifierNorm: need("verifier_norm.weight"),
    eps: layerSizes(transformer_layer_config).eps,
  };
}

/** One pass: f32 `[T, H]`, the features of the next tokens, which the next pass takes as they are. */
function nextFeatures(run: Run, w: EagleWeights, pass: ChainPass): Tensor {
  const norm = (x: Tensor, weight: Tensor | null) => weight ? rmsnorm(run, x, weight, w.eps) : x;
  const context = pass.context(0), pick = context.ask?.pick ?? ((x: Tensor) => x);
  const embedded = norm(gather(run, w.embed, pass.ids), w.embedNorm);
  const joined = linear(run, concat(run, [embedded, pass.hidden], 1), w.fusion);
  const x = w.fusionBias ? add(run, joined, w.fusionBias) : joined;
  const { layer } = w, { inPlace = false } = pass;
  const attention = { x: norm(x, w.inputNorm), weights: layer.attention, context, inPlace };
  const middle = addAttention(run, pick(x), attention);
  return addMlp(run, middle, { x: rmsnorm(run, middle, layer.postNorm, w.eps), weights: layer.mlp, inPlace });
}

/** Features of the verifier out of its un-normed last states: f32 `[T, H]` each. */
export function verifierFeatures(run: Run, w: EagleWeights, states: Tensor): Tensor {
  return rmsnorm(run, states, w.verifierNorm, w.eps);
}

/** What the head takes of the draft's features: f32 `[T, H]`. */
export function headInput(run: Run, w: EagleWeights, features: Tensor): Tensor {
  return w.headNorm ? rmsnorm(run, features, w.headNorm, w.eps) : features;
}

/** The draft as its unrolling and its proposer take it. */
export function eagleChain(config: EagleConfig, w: EagleWeights): ChainDraft {
  const { transformer_layer_config: layer } = config, sizes = layerSizes(layer);
  return {
    plugin: "eagle",
    sizes: { ...sizes, layers: 1, states: 1, target: sizes.hidden },
    rope: layerRope(layer),
    enter: (run, states) => verifierFeatures(run, w, states),
    pass: (run, pass) => nextFeatures(run, w, pass),
    likeliest: (run, features) => argmax(run, linear(run, headInput(run, w, features), w.head)),
    ranked(run, features, count) {
      const { logprobs, places } = topK(run, linear(run, headInput(run, w, features), w.head), count);
      return { logprobs, tokens: places };
    },
    vocabulary: w.head.shape[0]!,
  };
}
