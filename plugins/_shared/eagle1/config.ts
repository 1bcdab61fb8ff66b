/** What the `config.json` of a draft in the `eagle` format says: Eagle v1, Eagle-2 and HASS share it. */
import { z } from "../../../core/config/_zod.ts";
import type { SpeculatorConfig, StandardSchema } from "../../../core/plugin.ts";
import { type LayerConfig, layerSchema } from "../layer_config.ts";

/** The `config.json` of a draft in the `eagle` format. */
export interface EagleConfig extends SpeculatorConfig {
  /** The draft's one decoder layer; its number of layers is not looked at. */
  readonly transformer_layer_config: LayerConfig;
  /** The class of the layer in transformers. */
  readonly transformer_layer_architecture?: string | undefined;
  /** Norms of the embedding, before attention and before the head; `false` when absent. */
  readonly layernorms?: boolean | undefined;
  /** Whether the layer that joins embedding and state has a bias; `false` when absent. */
  readonly fusion_bias?: boolean | undefined;
}

/** The class in transformers of a kind of layers. */
export function layerArchitecture({ model_type }: LayerConfig): string {
  return { llama: "LlamaDecoderLayer", qwen3: "Qwen3DecoderLayer" }[model_type];
}

/**
 * Schema of the config; fields it does not know are kept.
 *
 * source: speculators v0.4.0.1, `models/eagle.py` (`EagleSpeculatorConfig`)
 */
export const eagleSchema: StandardSchema<EagleConfig> = z.looseObject({
  speculators_model_type: z.literal("eagle"),
  transformer_layer_config: layerSchema,
  transformer_layer_architecture: z.string().optional(),
  layernorms: z.boolean().optional(),
  fusion_bias: z.boolean().optional(),
}).superRefine(({ transformer_layer_architecture: named = "auto", transformer_layer_config }, context) => {
  const fits = layerArchitecture(transformer_layer_config);
  if (named === "auto" || named === fits) return;
  context.addIssue({
    code: "custom",
    path: ["transformer_layer_architecture"],
    message: `expected "auto" or "${fits}"`,
  });
});
