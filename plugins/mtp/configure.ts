/** The config of a new draft, and what a draft needs of its verifier. */
import { newSpeculatorsConfig } from "../../core/config/create.ts";
import { ConfigError } from "../../core/errors.ts";
import type { DraftNeeds, DraftOptions, VerifierInfo } from "../../core/plugin.ts";
import { ExtraOptions } from "../_shared/extra_options.ts";
import { requireVerifier } from "../_shared/layer_ids.ts";
import { MAX_STEPS, type MtpConfig } from "./config.ts";

/** Settings that only this algorithm knows: of its config, then of its objective. */
export const EXTRA: readonly string[] = ["num_speculative_steps", "norm_hidden_states", "step_weight_beta"];

/** Steps unless the user says otherwise. */
const STEPS = 3;

/**
 * The one state that a draft reads: what leaves the verifier's last layer.
 *
 * @throws {ConfigError} when the verifier has another width or vocabulary
 */
export function mtpNeeds(config: MtpConfig, verifier: VerifierInfo): DraftNeeds {
  const { hidden_size: width, vocab_size: vocab } = config.transformer_layer_config;
  requireVerifier(verifier, { width, vocab });
  return { layers: [verifier.layers], last: true };
}

/**
 * The config of a new draft: one Qwen3 layer of the verifier's width, heads and MLP. {@linkcode EXTRA} may be set by
 * {@linkcode DraftOptions.extra}.
 *
 * source: speculators v0.7.0.1, `models/mtp/core.py` (`from_training_args`), which begins from the verifier's own layer
 * alone; a verifier without one gets a fresh layer here
 *
 * @throws {ConfigError} for options that this kind of draft cannot have
 */
export function configureMtp(verifier: VerifierInfo, options: DraftOptions): MtpConfig {
  refuseOptions(verifier, options);
  const extra = new ExtraOptions(options.extra, EXTRA), range = verifier.raw["initializer_range"];
  const steps = { least: 1, most: MAX_STEPS };
  return newSpeculatorsConfig({
    algorithm: "mtp",
    architectures: ["MTPDraftModel"],
    verifier,
    speculativeTokens: extra.whole("num_speculative_steps", options.speculativeTokens ?? STEPS, steps),
  }, {
    norm_hidden_states: extra.flag("norm_hidden_states", true),
    num_nextn_predict_layers: 1,
    transformer_layer_config: {
      attention_bias: false,
      attention_dropout: 0,
      head_dim: verifier.headDim,
      hidden_act: "silu",
      hidden_size: verifier.hiddenSize,
      initializer_range: typeof range === "number" ? range : 0.02,
      intermediate_size: verifier.intermediateSize,
      max_position_embeddings: verifier.maxPositions,
      model_type: "qwen3" as const,
      num_attention_heads: verifier.heads,
      // The Python system reads here which of the verifier's states the draft takes.
      num_hidden_layers: verifier.layers,
      num_key_value_heads: verifier.kvHeads,
      rms_norm_eps: verifier.rmsNormEps,
      rope_scaling: verifier.ropeScaling,
      rope_theta: verifier.ropeTheta,
      use_cache: true,
      vocab_size: verifier.vocabSize,
    },
  });
}

/** Refuses what this kind of draft cannot have: to leave it out silently would train another draft than asked. */
function refuseOptions(verifier: VerifierInfo, options: DraftOptions): void {
  const { numLayers = 1, draftVocabSize = verifier.vocabSize, layerIds = [], draftArch = "qwen3" } = options;
  const refuse = (option: string, expected: string, received: unknown) => {
    throw new ConfigError(option, `expected ${expected} for this kind of draft, received ${received}`, {
      hint: "Leave the option away, or train an eagle3 draft",
    });
  };
  if (numLayers !== 1) refuse("num-layers", "1", numLayers);
  if (draftArch !== "qwen3") refuse("draft-arch", "qwen3", draftArch);
  if (draftVocabSize !== verifier.vocabSize) {
    refuse("draft-vocab-size", `the verifier's ${verifier.vocabSize} tokens`, draftVocabSize);
  }
  if (layerIds.some((id) => id !== verifier.layers)) {
    refuse("layer-ids", `only what leaves the last layer, ${verifier.layers},`, layerIds.join(", "));
  }
  if (options.embedRequiresGrad) {
    refuse("embed-requires-grad", "the verifier's embedding as it is", "true");
  }
}
