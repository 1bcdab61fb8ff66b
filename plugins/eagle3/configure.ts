/** The config of a new draft, and what a draft needs of its verifier. */
import { newSpeculatorsConfig } from "../../core/config/create.ts";
import { ConfigError } from "../../core/errors.ts";
import type { DraftNeeds, DraftOptions, VerifierInfo } from "../../core/plugin.ts";
import { ExtraOptions } from "../_shared/extra_options.ts";
import { defaultLayerIds, requireLayers, requireVerifier } from "../_shared/layer_ids.ts";
import { LAYER_KINDS } from "../_shared/layer_config.ts";
import { type Eagle3Config, eagle3Sizes } from "./config.ts";

/** Settings that only this algorithm knows. */
const EXTRA: readonly string[] = ["norm_before_fc", "fc_norm", "norm_output"];

/** Those that vLLM 0.24 looks for in the layers' config, not beside it: said in both places, either reader finds them. */
export function servedNorms(norms: Readonly<Record<string, unknown>>): Record<string, true> {
  const both = ["fc_norm", "norm_output"].filter((name) => norms[name] === true);
  return Object.fromEntries(both.map((name) => [name, true]));
}

/**
 * Which of the verifier's states a draft works with.
 *
 * @throws {ConfigError} when the verifier has no such layer, or another width or vocabulary
 */
export function eagle3Needs(config: Eagle3Config, verifier: VerifierInfo): DraftNeeds {
  const layers = config.eagle_aux_hidden_state_layer_ids ?? defaultLayerIds(verifier.layers);
  requireLayers("eagle_aux_hidden_state_layer_ids", layers, verifier);
  const { target, vocab } = eagle3Sizes(config);
  requireVerifier(verifier, { width: target, vocab });
  return { layers, last: true };
}

/**
 * The config of a new draft: the verifier's width, heads and MLP, its own layers of the kind asked for.
 *
 * `fc_norm`, `norm_output` (Eagle-3.1: speculators v0.7.0.1) and `norm_before_fc` may be set by
 * {@linkcode DraftOptions.extra}; the config names them where they are set.
 *
 * source: speculators v0.4.0.1, `scripts/train.py` (`create_transformer_layer_config`), `Eagle3DraftModel.from_training_args`
 *
 * @throws {ConfigError} for a kind of layers that is not known, or options that do not fit the verifier
 */
export function configureEagle3(verifier: VerifierInfo, options: DraftOptions): Eagle3Config {
  const kind = LAYER_KINDS.find((known) => known === (options.draftArch ?? "llama"));
  if (!kind) {
    throw new ConfigError(
      "draft-arch",
      `expected one of ${LAYER_KINDS.join(", ")}, received "${options.draftArch}"`,
    );
  }
  const draftVocab = options.draftVocabSize ?? verifier.vocabSize;
  if (!Number.isInteger(draftVocab) || draftVocab < 1 || draftVocab > verifier.vocabSize) {
    throw new ConfigError(
      "draft-vocab-size",
      `expected 1 to ${verifier.vocabSize}, received ${draftVocab}`,
    );
  }
  const extra = new ExtraOptions(options.extra, EXTRA);
  const norms = Object.fromEntries(
    EXTRA.map((name) => [name, extra.flag(name, false)]).filter(([, set]) => set),
  );
  if (norms["norm_before_fc"] && norms["fc_norm"]) {
    throw new ConfigError("fc_norm", "expected one norm before fc, received norm_before_fc and fc_norm");
  }
  const range = verifier.raw["initializer_range"];
  const config: Eagle3Config = newSpeculatorsConfig({
    algorithm: "eagle3",
    architectures: ["Eagle3DraftModel"],
    verifier,
    speculativeTokens: options.speculativeTokens,
  }, {
    draft_vocab_size: draftVocab,
    eagle_aux_hidden_state_layer_ids: [...(options.layerIds ?? defaultLayerIds(verifier.layers))],
    embed_requires_grad: options.embedRequiresGrad ?? false,
    norm_before_residual: options.normBeforeResidual ?? true,
    ...norms,
    target_hidden_size: null,
    transformer_layer_config: {
      attention_bias: false,
      attention_dropout: 0,
      head_dim: verifier.headDim,
      hidden_act: "silu",
      hidden_size: verifier.hiddenSize,
      initializer_range: typeof range === "number" ? range : 0.02,
      intermediate_size: verifier.intermediateSize,
      ...(kind === "llama" ? { mlp_bias: false, pretraining_tp: 1 } : {}),
      max_position_embeddings: verifier.maxPositions,
      model_type: kind,
      num_attention_heads: verifier.heads,
      num_hidden_layers: options.numLayers ?? 1,
      num_key_value_heads: verifier.kvHeads,
      rms_norm_eps: verifier.rmsNormEps,
      rope_scaling: null,
      rope_theta: 10000,
      use_cache: true,
      vocab_size: verifier.vocabSize,
      ...servedNorms(norms),
    },
  });
  eagle3Needs(config, verifier);
  return config;
}
