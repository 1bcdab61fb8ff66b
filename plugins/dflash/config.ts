/** What a DFlash `config.json` says. */
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

/** Longest block. */
export const MAX_BLOCK = 256;

/** The `config.json` of a DFlash speculator. */
export interface DFlashConfig extends SpeculatorConfig {
  /** The draft's decoder layers: Qwen3's, with `layer_types` and `sliding_window`. */
  readonly transformer_layer_config: LayerConfig;
  /** Entries of the draft vocabulary. */
  readonly draft_vocab_size: number;
  /** Tokens of a block, its anchor among them; 8 when absent. */
  readonly block_size?: number | undefined;
  /** The verifier's hidden states that the draft reads. */
  readonly aux_hidden_state_layer_ids: readonly number[];
  /** Token that stands in the places to be drafted. */
  readonly mask_token_id: number;
  /** Whether the anchor's place gives a token too, the one behind it; `false` when absent. */
  readonly sample_from_anchor?: boolean | undefined;
  /** Whether a block is seen both ways in sliding layers too; `false` when absent. */
  readonly sliding_window_non_causal?: boolean | undefined;
  /** Width of the verifier's states where it is not the draft's. */
  readonly target_hidden_size?: number | null | undefined;
}

/** Kinds of attention that a layer may have. */
const LAYER_TYPES: readonly unknown[] = ["full_attention", "sliding_attention"];

/** Schema of the config; fields it does not know are kept. */
export const dflashSchema: StandardSchema<DFlashConfig> = z.looseObject({
  speculators_model_type: z.literal("dflash"),
  transformer_layer_config: layerSchema,
  draft_vocab_size: size(MAX_VOCABULARY),
  block_size: z.int().min(2).max(MAX_BLOCK).optional(),
  aux_hidden_state_layer_ids: z.array(z.int().min(0).max(1024)).min(1).max(64),
  mask_token_id: z.int().min(0).max(MAX_VOCABULARY),
  sample_from_anchor: z.boolean().optional(),
  sliding_window_non_causal: z.boolean().optional(),
  target_hidden_size: size(MAX_WIDTH).nullish(),
}).superRefine((config, context) => {
  const layer = config.transformer_layer_config, most = layer.vocab_size;
  const issue = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
  if (config.draft_vocab_size > most) issue(["draft_vocab_size"], `expected at most vocab_size ${most}`);
  if (config.mask_token_id >= most) issue(["mask_token_id"], `expected a token below vocab_size ${most}`);
  if (layer.model_type !== "qwen3") issue(["transformer_layer_config", "model_type"], "expected qwen3");
  const types = layer["layer_types"] ?? null, window = layer["sliding_window"] ?? null;
  const fits = types === null || Array.isArray(types) && types.length === layer.num_hidden_layers &&
      types.every((type) => LAYER_TYPES.includes(type));
  if (!fits) {
    const expected = `expected ${layer.num_hidden_layers} of ${LAYER_TYPES.join(", ")}`;
    issue(["transformer_layer_config", "layer_types"], expected);
  }
  const slides = Array.isArray(types) && types.includes("sliding_attention");
  const wide = typeof window === "number" && Number.isInteger(window) && window > 0;
  if (window !== null && !wide || slides && window === null) {
    issue(["transformer_layer_config", "sliding_window"], "expected a whole number of keys from 1 on");
  }
});

/** Sizes of a draft with every default filled in. */
export interface DFlashSizes extends LayerSizes {
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
  /** Tokens of a block. */
  readonly block: number;
  /** First place of a block that gives a token: 0 where the anchor's does, else 1. */
  readonly first: number;
  /** What each layer sees. */
  readonly sight: readonly LayerSight[];
}

/** What the rows of a block see in a layer. */
export interface LayerSight {
  /** Keys before the anchor; `null` for all of them. */
  readonly window: number | null;
  /** Whether a row sees the rows of its block up to itself only. */
  readonly causal: boolean;
}

/** Sizes of the draft that a config describes. */
export function dflashSizes(config: DFlashConfig): DFlashSizes {
  const layer = config.transformer_layer_config;
  const types = (layer["layer_types"] ?? []) as readonly string[];
  return {
    ...layerSizes(layer),
    target: config.target_hidden_size ?? layer.hidden_size,
    states: config.aux_hidden_state_layer_ids.length,
    layers: layer.num_hidden_layers,
    draftVocab: config.draft_vocab_size,
    mapped: config.draft_vocab_size !== layer.vocab_size,
    block: config.block_size ?? 8,
    first: config.sample_from_anchor ? 0 : 1,
    sight: Array.from({ length: layer.num_hidden_layers }, (_, i) => {
      const slides = types[i] === "sliding_attention";
      return {
        window: slides ? layer["sliding_window"] as number : null,
        causal: slides && !config.sliding_window_non_causal,
      };
    }),
  };
}
