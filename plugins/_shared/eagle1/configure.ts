/** The config of a new draft in the `eagle` format, and what a draft needs of its verifier. */
import { newSpeculatorsConfig } from "../../../core/config/create.ts";
import { ConfigError } from "../../../core/errors.ts";
import type { DraftNeeds, DraftOptions, VerifierInfo } from "../../../core/plugin.ts";
import { LAYER_KINDS, layerSizes } from "../layer_config.ts";
import { type EagleConfig, layerArchitecture } from "./config.ts";

/** What a draft in this format has unless its user says otherwise. */
export interface EagleDefaults {
  /** Norms of the embedding, before attention and before the head. */
  readonly layernorms: boolean;
  /** A bias of the layer that joins embedding and state. */
  readonly fusionBias: boolean;
}

/**
 * The one state that a draft reads: what leaves the verifier's last layer.
 *
 * @throws {ConfigError} when the verifier has another width or vocabulary
 */
export function eagleNeeds(config: EagleConfig, verifier: VerifierInfo): DraftNeeds {
  const { hidden, vocab } = layerSizes(config.transformer_layer_config);
  if (hidden !== verifier.hiddenSize || vocab !== verifier.vocabSize) {
    throw new ConfigError(
      verifier.nameOrPath,
      `expected a verifier of width ${hidden} with ${vocab} tokens, received width ${verifier.hiddenSize} with ` +
        `${verifier.vocabSize}`,
      { hint: "Take the verifier that the draft was made for" },
    );
  }
  return { layers: [verifier.layers], last: true };
}

/**
 * The config of a new draft: one layer of the verifier's width, heads and MLP. `layernorms` and `fusion_bias` may be set
 * by {@linkcode DraftOptions.extra}.
 *
 * source: speculators v0.4.0.1, `models/eagle.py` (`EagleSpeculator.from_training_args`, `EagleSpeculatorConfig`)
 *
 * @throws {ConfigError} for options that a draft of this format cannot have
 */
export function configureEagle(
  verifier: VerifierInfo,
  options: DraftOptions,
  defaults: EagleDefaults,
): EagleConfig {
  refuseOptions(verifier, options);
  const kind = LAYER_KINDS.find((known) => known === (options.draftArch ?? "llama"));
  if (!kind) {
    throw new ConfigError(
      "draft-arch",
      `expected one of ${LAYER_KINDS.join(", ")}, received "${options.draftArch}"`,
    );
  }
  const range = verifier.raw["initializer_range"];
  const layer = {
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
    num_hidden_layers: 1,
    num_key_value_heads: verifier.kvHeads,
    rms_norm_eps: verifier.rmsNormEps,
    // The draft's positions are the verifier's, so it takes over how they are turned.
    rope_scaling: verifier.ropeScaling,
    rope_theta: verifier.ropeTheta,
    use_cache: true,
    vocab_size: verifier.vocabSize,
  };
  return newSpeculatorsConfig({
    algorithm: "eagle",
    architectures: ["EagleSpeculator"],
    verifier,
    speculativeTokens: options.speculativeTokens,
  }, {
    fusion_bias: flag(options, "fusion_bias", defaults.fusionBias),
    layernorms: flag(options, "layernorms", defaults.layernorms),
    transformer_layer_architecture: layerArchitecture(layer),
    transformer_layer_config: layer,
  });
}

function flag({ extra = {} }: DraftOptions, name: string, absent: boolean): boolean {
  const value = extra[name] ?? absent;
  if (typeof value === "boolean") return value;
  throw new ConfigError(name, `expected true or false, received ${JSON.stringify(value)}`);
}

/** Refuses what only drafts of other formats can have: to leave it out silently would train another draft than asked. */
function refuseOptions(verifier: VerifierInfo, options: DraftOptions): void {
  const { numLayers = 1, draftVocabSize = verifier.vocabSize, layerIds = [], embedRequiresGrad } = options;
  const refuse = (option: string, expected: string, received: unknown) => {
    throw new ConfigError(option, `expected ${expected} for this kind of draft, received ${received}`, {
      hint: "Leave the option away, or train an eagle3 draft",
    });
  };
  if (numLayers !== 1) refuse("num-layers", "1", numLayers);
  if (draftVocabSize !== verifier.vocabSize) {
    refuse("draft-vocab-size", `the verifier's ${verifier.vocabSize} tokens`, draftVocabSize);
  }
  if (layerIds.some((id) => id !== verifier.layers)) {
    refuse("layer-ids", `only what leaves the last layer, ${verifier.layers},`, layerIds.join(", "));
  }
  if (embedRequiresGrad) refuse("embed-requires-grad", "the verifier's embedding as it is", "true");
}
