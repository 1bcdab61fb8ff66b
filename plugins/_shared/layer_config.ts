/** The decoder layers of a draft, as transformers configures them. */
import { z } from "../../core/config/_zod.ts";

/** Kinds of decoder layers that a draft may be built of. */
export const LAYER_KINDS = ["llama", "qwen3"] as const;

/** `transformer_layer_config` of a draft's config. */
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

/** Largest width and vocabulary: a hostile file must not make a table of a size that no model has. */
export const MAX_WIDTH: number = 1 << 17, MAX_VOCABULARY: number = 1 << 24;

/** A whole number from 1 to `most`. */
export function size(most: number): z.ZodInt {
  return z.int().min(1).max(most);
}

/** Schema of the layers; fields it does not know are kept. */
export const layerSchema: z.ZodType<LayerConfig> = z.looseObject({
  model_type: z.enum(LAYER_KINDS),
  hidden_size: size(MAX_WIDTH),
  intermediate_size: size(4 * MAX_WIDTH),
  num_hidden_layers: size(256),
  num_attention_heads: size(1024),
  num_key_value_heads: size(1024).nullish(),
  head_dim: size(4096).nullish(),
  vocab_size: size(MAX_VOCABULARY),
  rms_norm_eps: z.number().nonnegative().optional(),
  rope_theta: z.number().positive().optional(),
  rope_scaling: z.record(z.string(), z.unknown()).nullish(),
  rope_parameters: z.record(z.string(), z.unknown()).nullish(),
  max_position_embeddings: size(1 << 30).optional(),
  attention_bias: z.boolean().optional(),
  mlp_bias: z.boolean().optional(),
  hidden_act: z.literal("silu").optional(),
}).superRefine((layer, context) => {
  const issue = (field: string, message: string) =>
    context.addIssue({ code: "custom", path: [field], message });
  const { heads, kvHeads, headDim } = layerSizes(layer);
  if (heads % kvHeads !== 0) issue("num_attention_heads", `expected a multiple of ${kvHeads}`);
  if (headDim % 2 !== 0) issue("head_dim", `expected an even number, received ${headDim}`);
});

/** Sizes of a draft's layers with every default filled in. */
export interface LayerSizes {
  /** Width of the residual stream. */
  readonly hidden: number;
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
  /** Added to the mean square in norms. */
  readonly eps: number;
}

/** Sizes of the layers that a config describes. */
export function layerSizes(layer: LayerConfig): LayerSizes {
  const hidden = layer.hidden_size, heads = layer.num_attention_heads;
  return {
    hidden,
    intermediate: layer.intermediate_size,
    heads,
    kvHeads: layer.num_key_value_heads ?? heads,
    headDim: layer.head_dim ?? hidden / heads,
    vocab: layer.vocab_size,
    eps: layer.rms_norm_eps ?? 1e-6,
  };
}

/** Base and stretching of the rotary frequencies, as either version of transformers writes them. */
export function layerRope(layer: LayerConfig): {
  readonly theta: number;
  readonly scaling: Readonly<Record<string, unknown>> | null;
  readonly maxPositions: number | null;
} {
  const newer = layer.rope_parameters ?? null, theta = newer?.["rope_theta"];
  return {
    theta: layer.rope_theta ?? (typeof theta === "number" ? theta : 10000),
    scaling: layer.rope_scaling ?? newer,
    maxPositions: layer.max_position_embeddings ?? null,
  };
}
