/** What an Eagle-3 `config.json` says. */
import { z } from "../../core/config/_zod.ts";
import type { SpeculatorConfig, StandardSchema } from "../../core/plugin.ts";

/** Kinds of decoder layers that a draft may be built of. */
export const LAYER_KINDS = ["llama", "qwen3"] as const;

/** The decoder layers of a draft, as transformers configures them. */
export interface LayerConfig {
  /** `llama`, or `qwen3`: with norms of each query and key head. */
  readonly model_type: (typeof LAYER_KINDS)[number];
  /** Width of the draft's residual stream. */
  readonly hidden_size: number;
  /** Width of the MLP. */
  readonly intermediate_size: number;
  /** Layers. */
  readonly num_hidden_layers: number;
  /** Query heads. */
  readonly num_attention_heads: number;
  /** Key and value heads; the query heads' number when absent. */
  readonly num_key_value_heads?: number | null | undefined;
  /** Entries of a head; `hidden_size / num_attention_heads` when absent. */
  readonly head_dim?: number | null | undefined;
  /** Rows of the embedding: the verifier's vocabulary. */
  readonly vocab_size: number;
  /** Added to the mean square in norms; 1e-6 when absent. */
  readonly rms_norm_eps?: number | undefined;
  /** Base of the rotary frequencies; 10000 when absent. */
  readonly rope_theta?: number | undefined;
  /** Stretching of the frequencies. */
  readonly rope_scaling?: Readonly<Record<string, unknown>> | null | undefined;
  /** Where newer versions of transformers keep both of the above. */
  readonly rope_parameters?: Readonly<Record<string, unknown>> | null | undefined;
  /** Longest sequence. */
  readonly max_position_embeddings?: number | undefined;
  /** Biases of the attention's projections. */
  readonly attention_bias?: boolean | undefined;
  /** Biases of the MLP. */
  readonly mlp_bias?: boolean | undefined;
  /** Always `silu`. */
  readonly hidden_act?: string | undefined;
  /** Everything else. */
  readonly [field: string]: unknown;
}

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
}

// Generous bounds: a hostile file must not make a table of a size that no model has.
const size = (most: number) => z.int().min(1).max(most);
const WIDTH = 1 << 17, VOCABULARY = 1 << 24;

const layerSchema = z.looseObject({
  model_type: z.enum(LAYER_KINDS),
  hidden_size: size(WIDTH),
  intermediate_size: size(4 * WIDTH),
  num_hidden_layers: size(256),
  num_attention_heads: size(1024),
  num_key_value_heads: size(1024).nullish(),
  head_dim: size(4096).nullish(),
  vocab_size: size(VOCABULARY),
  rms_norm_eps: z.number().nonnegative().optional(),
  rope_theta: z.number().positive().optional(),
  rope_scaling: z.record(z.string(), z.unknown()).nullish(),
  rope_parameters: z.record(z.string(), z.unknown()).nullish(),
  max_position_embeddings: size(1 << 30).optional(),
  attention_bias: z.boolean().optional(),
  mlp_bias: z.boolean().optional(),
  hidden_act: z.literal("silu").optional(),
});

/** Schema of the config; fields it does not know are kept. */
export const eagle3Schema: StandardSchema<Eagle3Config> = z.looseObject({
  speculators_model_type: z.literal("eagle3"),
  transformer_layer_config: layerSchema,
  draft_vocab_size: size(VOCABULARY),
  norm_before_residual: z.boolean().optional(),
  target_hidden_size: size(WIDTH).nullish(),
  eagle_aux_hidden_state_layer_ids: z.array(z.int().min(0).max(1024)).min(1).max(64).nullish(),
  embed_requires_grad: z.boolean().optional(),
}).superRefine((config, context) => {
  const layer = config.transformer_layer_config;
  const kvHeads = layer.num_key_value_heads ?? layer.num_attention_heads;
  const issue = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
  if (config.draft_vocab_size > layer.vocab_size) {
    issue(["draft_vocab_size"], `expected at most vocab_size ${layer.vocab_size}`);
  }
  if (layer.num_attention_heads % kvHeads !== 0) {
    issue(["transformer_layer_config", "num_attention_heads"], `expected a multiple of ${kvHeads}`);
  }
  const headDim = layer.head_dim ?? layer.hidden_size / layer.num_attention_heads;
  if (headDim % 2 !== 0) {
    issue(["transformer_layer_config", "head_dim"], `expected an even number, received ${headDim}`);
  }
});

/** Sizes of a draft with every default filled in. */
export interface Eagle3Sizes {
  /** Width of the draft. */
  readonly hidden: number;
  /** Width of the verifier. */
  readonly target: number;
  /** Auxiliary hidden states. */
  readonly states: number;
  /** Decoder layers. */
  readonly layers: number;
  /** Width of the MLP. */
  readonly intermediate: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Entries of a head. */
  readonly headDim: number;
  /** The verifier's vocabulary. */
  readonly vocab: number;
  /** The draft's vocabulary. */
  readonly draftVocab: number;
  /** Whether draft ids differ from the verifier's. */
  readonly mapped: boolean;
  /** Added to the mean square in norms. */
  readonly eps: number;
}

/** Sizes of the draft that a config describes. */
export function eagle3Sizes(config: Eagle3Config): Eagle3Sizes {
  const layer = config.transformer_layer_config;
  const hidden = layer.hidden_size, heads = layer.num_attention_heads;
  return {
    hidden,
    target: config.target_hidden_size ?? hidden,
    states: config.eagle_aux_hidden_state_layer_ids?.length ?? 3,
    layers: layer.num_hidden_layers,
    intermediate: layer.intermediate_size,
    heads,
    kvHeads: layer.num_key_value_heads ?? heads,
    headDim: layer.head_dim ?? hidden / heads,
    vocab: layer.vocab_size,
    draftVocab: config.draft_vocab_size,
    mapped: config.draft_vocab_size !== layer.vocab_size,
    eps: layer.rms_norm_eps ?? 1e-6,
  };
}

/** Base and stretching of the rotary frequencies, as either version of transformers writes them. */
export function eagle3Rope(layer: LayerConfig): {
  readonly theta: number;
  readonly scaling: Readonly<Record<string, unknown>> | null;
} {
  const newer = layer.rope_parameters ?? null, theta = newer?.["rope_theta"];
  return {
    theta: layer.rope_theta ?? (typeof theta === "number" ? theta : 10000),
    scaling: layer.rope_scaling ?? newer,
  };
}
