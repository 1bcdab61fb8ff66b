/** What an MTP `config.json` says. */
import { z } from "../../core/config/_zod.ts";
import { ConfigError } from "../../core/errors.ts";
import type { SpeculatorConfig, StandardSchema } from "../../core/plugin.ts";
import { type LayerConfig, layerSchema, type LayerSizes, layerSizes } from "../_shared/layer_config.ts";

/** Kinds of layers that verifiers bring along; only the first is computed here, the others are converted. */
export const MTP_KINDS = ["qwen3", "qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"] as const;

/** Most steps that are believed. */
export const MAX_STEPS = 64;

/** The layer's config. Of kinds that are not computed here only these are looked at. */
export interface MtpLayerConfig {
  /** Its kind. */
  readonly model_type: (typeof MTP_KINDS)[number];
  /** Width of the residual stream. */
  readonly hidden_size: number;
  /** Rows of the embedding. */
  readonly vocab_size: number;
  /** Everything else. */
  readonly [field: string]: unknown;
}

/** The `config.json` of an MTP speculator. */
export interface MtpConfig extends SpeculatorConfig {
  /** The verifier's own config, whose kind of layer the draft has one of. */
  readonly transformer_layer_config: MtpLayerConfig;
  /** Layers; always 1. */
  readonly num_nextn_predict_layers?: number | undefined;
  /**
   * Whether the draft is given the verifier's state after its final norm, as servers give it and a verifier's own layer is
   * trained on; `false` when absent, as the Python system trains. A field of this project's.
   */
  readonly norm_hidden_states?: boolean | undefined;
}

const anyLayer = z.looseObject({
  model_type: z.enum(MTP_KINDS),
  hidden_size: z.int().min(1),
  vocab_size: z.int().min(1),
});

/** Schema of the config; fields it does not know are kept. */
export const mtpSchema: StandardSchema<MtpConfig> = z.looseObject({
  speculators_model_type: z.literal("mtp"),
  transformer_layer_config: anyLayer,
  num_nextn_predict_layers: z.literal(1).optional(),
  norm_hidden_states: z.boolean().optional(),
}).superRefine((config, context) => {
  if (config.transformer_layer_config.model_type !== "qwen3") return;
  for (const issue of layerSchema.safeParse(config.transformer_layer_config).error?.issues ?? []) {
    context.addIssue({
      code: "custom",
      path: ["transformer_layer_config", ...issue.path],
      message: issue.message,
    });
  }
});

/**
 * The layer's config, of a kind that is computed here.
 *
 * @throws {ConfigError} for the others
 */
export function mtpLayer(config: MtpConfig): LayerConfig {
  const layer = config.transformer_layer_config;
  if (layer.model_type === "qwen3") return layer as unknown as LayerConfig;
  throw new ConfigError(
    "transformer_layer_config.model_type",
    `expected qwen3, received "${layer.model_type}": its gated attention is not computed here`,
    { hint: "Train it on and serve it with the Python system, which reads this checkpoint" },
  );
}

/** Sizes of the draft that a config describes. */
export function mtpSizes(config: MtpConfig): LayerSizes {
  return layerSizes(mtpLayer(config));
}
