/**
 * Names of decoder models' tensors in GGUF files, and what transformers calls them.
 *
 * Source: https://github.com/ggml-org/llama.cpp (`gguf-py/gguf/constants.py`, `convert_hf_to_gguf.py`).
 *
 * @module
 */

/** What is known of an architecture of GGUF files. */
export interface GgufArchitecture {
  /** Name of the class in transformers. */
  readonly className: string;
  /**
   * Whether the rows of the query and key projections are reordered within each head: transformers rotates entry i
   * together with entry i + half, these files entry 2i with 2i + 1.
   */
  readonly interleaved: boolean;
  /** `model_type` in transformers, where it is not the architecture's own name. */
  readonly modelType?: string;
}

/** The architectures whose tensors are named as transformers names them, by `general.architecture`. */
export const GGUF_ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  llama: { className: "LlamaForCausalLM", interleaved: true },
  qwen2: { className: "Qwen2ForCausalLM", interleaved: false },
  qwen3: { className: "Qwen3ForCausalLM", interleaved: false },
  qwen3moe: { className: "Qwen3MoeForCausalLM", interleaved: false, modelType: "qwen3_moe" },
};

const MODEL: Readonly<Record<string, string>> = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
};

const LAYER: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
  ffn_gate_inp: "mlp.gate",
  ffn_gate_exps: "mlp.experts.gate_proj",
  ffn_up_exps: "mlp.experts.up_proj",
  ffn_down_exps: "mlp.experts.down_proj",
};

/** Tensors that stand for fields of the config: factors of the rotary frequencies. */
export const ROPE_FACTORS = "rope_freqs.weight";

/** What transformers calls a tensor; the name itself where it has no other. */
export function hubName(name: string): string {
  if (Object.hasOwn(MODEL, name)) return MODEL[name]!;
  const [, layer, part = "", kind] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
  return Object.hasOwn(LAYER, part) ? `model.layers.${layer}.${LAYER[part]}.${kind}` : name;
}
