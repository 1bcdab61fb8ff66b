/** What an Eagle-3 `config.json` says. */
import { z } from "../../core/config/_zod.ts";
import type { SpeculatorConfig, StandardSchema } from "../../core/plugin.ts";
import {
  type LayerConfig,
  layerSchema,
  type LayerSizes,
  layerSizes,
  MAX_VOCABULARY,
  MAX_WIDTH,
  size,
} from "../_shared/layer_config.ts";

/** The `config.json` of an Eagle-3 speculator. */
export interface Eagle3Config extends SpeculatorConfig {
  /** The draft's decoder layers. */
  readonly transformer_layer_config: LayerConfig;
  /** Entries of the draft vocabulary. */
  readonly draft_vocab_size: number;
  /** Whether the normed hidden state, not the state itself, is the first layer's residual; `false` when absent. */
  readonly norm_before_residual?: boolean | undefined;
  /** Width of the verifier's states where it is not the draft's. */
  readonly target_hidden_size?: number | null | undefined;
  /** The verifier's hidden states that the draft reads; `null` for the usual three. */
  readonly eagle_aux_hidden_state_layer_ids?: readonly number[] | null | undefined;
  /** Whether the embedding is trained; `false` when absent. */
  readonly embed_requires_grad?: boolean | undefined;
  /** Whether the joined states are normed together before `fc`; `false` when absent. */
  readonly norm_before_fc?: boolean | undefined;
  /** Whether each state is normed on its own before `fc` (Eagle-3.1); `false` when absent. */
  readonly fc_norm?: boolean | undefined;
  /** Whether later steps are fed the state after the final norm (Eagle-3.1); `false` when absent. */
  readonly norm_output?: boolean | undefined;
}

/** Schema of the config; fields it does not know are kept. */
export const eagle3Schema: StandardSchema<Eagle3Config> = z.looseObject({
  speculators_model_type: z.literal("eagle3"),
  transformer_layer_config: layerSchema,
  draft_vocab_size: size(MAX_VOCABULARY),
  norm_before_residual: z.boolean().optional(),
  target_hidden_size: size(MAX_WIDTH).nullish(),
  eagle_aux_hidden_state_layer_ids: z.array(z.int().min(0).max(1024)).min(1).max(64).nullish(),
  embed_requires_grad: z.boolean().optional(),
  norm_before_fc: z.boolean().optional(),
  fc_norm: z.boolean().optional(),
  norm_output: z.boolean().optional(),
}).superRefine((config, context) => {
  if (config.norm_before_fc && config.fc_norm) {
    context.addIssue({
      code: "custom",
      path: ["fc_norm"],
      message: "expected false beside norm_before_fc: one norm before fc, not both",
    });
  }
  const most = config.transformer_layer_config.vocab_size;
  if (config.draft_vocab_size > most) {
    context.addIssue({
      code: "custom",
      path: ["draft_vocab_size"],
      message: `expected at most vocab_size ${most}`,
    });
  }
});

/** Sizes of a draft with every default filled in. */
export interface Eagle3Sizes extends LayerSizes {
  /** Width of the verifier. */
  readonly target: number;
  /** Auxiliary hidden states. */
  readonly states: number;
  /** Decoder layers. */
  readonly layers: number;
  /** The draft's vocabulary. */
  readonly draftVocab: number;
  /** Whether draft ids differ from the verifier's. */
  readonly mapped: boolean;
}

/** Sizes of the draft that a config describes. */
export function eagle3Sizes(config: Eagle3Config): Eagle3Sizes {
  const layer = config.transformer_layer_config;
  return {
    ...layerSizes(layer),
    target: config.target_hidden_size ?? layer.hidden_size,
    states: config.eagle_aux_hidden_state_layer_ids?.length ?? 3,
    layers: layer.num_hidden_layers,
    draftVocab: config.draft_vocab_size,
    mapped: config.draft_vocab_size !== layer.vocab_size,
  };
}
