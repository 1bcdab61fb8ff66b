/** The config of a new draft, and what a draft needs of its verifier. */
import { newSpeculatorsConfig } from "../../core/config/create.ts";
import { ConfigError } from "../../core/errors.ts";
import type { DraftNeeds, DraftOptions, VerifierInfo } from "../../core/plugin.ts";
import { ExtraOptions } from "../_shared/extra_options.ts";
import { defaultLayerIds, requireLayers, requireVerifier } from "../_shared/layer_ids.ts";
import { MAX_WIDTH } from "../_shared/layer_config.ts";
import { type DFlashConfig, dflashSizes, MAX_BLOCK } from "./config.ts";

/** Settings that only this algorithm knows: of its config, then of its objective. */
export const EXTRA: readonly string[] = [
  "block_size",
  "mask_token_id",
  "sample_from_anchor",
  "sliding_window",
  "sliding_window_layers",
  "sliding_window_non_causal",
  "max_anchors",
  "dflash_decay_gamma",
];

/**
 * Which of the verifier's states a draft works with.
 *
 * @throws {ConfigError} when the verifier has no such layer, or another width or vocabulary
 */
export function dflashNeeds(config: DFlashConfig, verifier: VerifierInfo): DraftNeeds {
  const layers = config.aux_hidden_state_layer_ids, { target, vocab } = dflashSizes(config);
  requireLayers("aux_hidden_state_layer_ids", layers, verifier);
  requireVerifier(verifier, { width: target, vocab });
  return { layers, last: true };
}

/**
 * The config of a new draft: Qwen3 layers of the verifier's width, heads and MLP, all with full attention unless
 * `sliding_window_layers` names some. {@linkcode EXTRA} may be set by {@linkcode DraftOptions.extra}.
 *
 * Without a `mask_token_id` the token that ends a text is taken, as its embedding is a trained one and no block has it in
 * its midst; a padding token's is often zero, which would make all places of a block alike.
 *
 * source: speculators v0.7.0.1, `models/dflash/core.py` (`from_training_args`)
 *
 * @throws {ConfigError} for options that do not fit the verifier or that this kind of draft cannot have
 */
export function configureDFlash(verifier: VerifierInfo, options: DraftOptions): DFlashConfig {
  const { draftArch = "qwen3", draftVocabSize: draftVocab = verifier.vocabSize, numLayers = 1 } = options;
  if (draftArch !== "qwen3") {
    throw new ConfigError("draft-arch", `expected qwen3 for this kind of draft, received "${draftArch}"`);
  }
  if (options.embedRequiresGrad) {
    throw new ConfigError("embed-requires-grad", "expected the verifier's embedding as it is, received true");
  }
  if (!Number.isInteger(draftVocab) || draftVocab < 1 || draftVocab > verifier.vocabSize) {
    throw new ConfigError(
      "draft-vocab-size",
      `expected 1 to ${verifier.vocabSize}, received ${draftVocab}`,
    );
  }
  const extra = new ExtraOptions(options.extra, EXTRA), most = verifier.vocabSize - 1;
  const block = extra.whole("block_size", 8, { least: 2, most: MAX_BLOCK });
  const fromAnchor = extra.flag("sample_from_anchor", false);
  const sliding = extra.wholes("sliding_window_layers") ?? [];
  const wrong = sliding.find((layer) => layer >= numLayers);
  if (wrong !== undefined) {
    throw new ConfigError(
      "sliding_window_layers",
      `expected layers below ${numLayers}, received ${wrong}`,
    );
  }
  const range = verifier.raw["initializer_range"];
  const config: DFlashConfig = newSpeculatorsConfig({
    algorithm: "dflash",
    architectures: ["DFlashDraftModel"],
    verifier,
    speculativeTokens: options.speculativeTokens ?? (fromAnchor ? block : block - 1),
  }, {
    aux_hidden_state_layer_ids: [...(options.layerIds ?? defaultLayerIds(verifier.layers))],
    block_size: block,
    draft_vocab_size: draftVocab,
    mask_token_id: extra.whole("mask_token_id", verifier.eosTokenIds[0] ?? most, { least: 0, most }),
    sample_from_anchor: fromAnchor,
    sliding_window_non_causal: extra.flag("sliding_window_non_causal", false),
    target_hidden_size: null,
    transformer_layer_config: {
      attention_bias: false,
      attention_dropout: 0,
      head_dim: verifier.headDim,
      hidden_act: "silu",
      hidden_size: verifier.hiddenSize,
      initializer_range: typeof range === "number" ? range : 0.02,
      intermediate_size: verifier.intermediateSize,
      layer_types: Array.from(
        { length: numLayers },
        (_, i) => sliding.includes(i) ? "sliding_attention" : "full_attention",
      ),
      max_position_embeddings: verifier.maxPositions,
      max_window_layers: 0,
      model_type: "qwen3",
      num_attention_heads: verifier.heads,
      num_hidden_layers: numLayers,
      num_key_value_heads: verifier.kvHeads,
      rms_norm_eps: verifier.rmsNormEps,
      // The draft's positions are the verifier's, so it takes over how they are turned.
      rope_scaling: verifier.ropeScaling,
      rope_theta: verifier.ropeTheta,
      sliding_window: sliding.length > 0
        ? extra.whole("sliding_window", 2048, { least: 1, most: MAX_WIDTH })
        : null,
      use_cache: true,
      use_sliding_window: sliding.length > 0,
      vocab_size: verifier.vocabSize,
    },
  });
  dflashNeeds(config, verifier);
  return config;
}
