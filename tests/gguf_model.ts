/** Writes a checkpoint as GGUF, as llama.cpp's converter lays it out. */
import { join } from "node:path";
import { openWeights } from "../core/formats/weights.ts";
import { elements, type HostTensor } from "../core/tensor.ts";
import { ggufFile, type GgufValue, type StoredTensor } from "./gguf_file.ts";

const CODES: Readonly<Record<string, number>> = { f32: 0, f16: 1, bf16: 30 };

const NAMES: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  "lm_head": "output",
  "input_layernorm": "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  "post_attention_layernorm": "ffn_norm",
  "mlp.gate": "ffn_gate_inp",
  "mlp.experts.gate_proj": "ffn_gate_exps",
  "mlp.experts.up_proj": "ffn_up_exps",
  "mlp.experts.down_proj": "ffn_down_exps",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};

/** A checkpoint's `config.json`, as far as it is asked. */
export type LlamaConfig = Readonly<Record<string, number | boolean | null | readonly number[]>>;

/** The file's bytes; `store` may quantise a matrix. */
export async function llamaAsGguf(
  folder: string,
  store: (tensor: HostTensor, name: string) => Pick<StoredTensor, "type" | "bytes"> | null = () => null,
): Promise<Uint8Array<ArrayBuffer>> {
  const config = whole(JSON.parse(await Deno.readTextFile(join(folder, "config.json"))));
  using source = await openWeights(folder);
  const tensors: StoredTensor[] = [];
  for (const name of source.names()) {
    if (name.endsWith("inv_freq")) continue;
    const own = ggufName(name), tensor = await source.read(name);
    const heads = /attn_([qk])\./.exec(own)?.[1];
    const count = heads === "q" ? config["num_attention_heads"] : config["num_key_value_heads"];
    const placed = heads === undefined ? tensor : interleave(tensor, Number(count));
    tensors.push({
      name: own,
      shape: placed.shape,
      ...(store(placed, own) ?? { type: CODES[placed.dtype]!, bytes: placed.bytes }),
    });
  }
  return ggufFile({ metadata: metadataOf(config), tensors });
}

/** With what transformers takes where a field is absent. */
function whole(config: LlamaConfig): LlamaConfig {
  const { rope_theta, rms_norm_eps, num_key_value_heads, num_attention_heads } = config;
  return {
    ...config,
    rope_theta: rope_theta ?? 10000,
    rms_norm_eps: rms_norm_eps ?? 1e-6,
    num_key_value_heads: num_key_value_heads ?? num_attention_heads ?? 1,
  };
}

/** The file's bytes for a checkpoint of another family, by its architecture's name in such files. */
export async function familyAsGguf(folder: string, architecture: string): Promise<Uint8Array<ArrayBuffer>> {
  const config = whole(JSON.parse(await Deno.readTextFile(join(folder, "config.json"))));
  using source = await openWeights(folder);
  const tensors: StoredTensor[] = [], parts = new Map<string, HostTensor[]>();
  for (const name of source.names()) {
    const [, before, expert, after] = /^(.*\.experts)\.(\d+)(\..*)$/.exec(name) ?? [];
    const tensor = await source.read(name), own = ggufName(expert === undefined ? name : `${before}${after}`);
    const all = parts.get(own) ?? [];
    all[Number(expert ?? 0)] = tensor;
    parts.set(own, all);
  }
  for (const [name, all] of parts) {
    const { shape, dtype } = all[0]!, stacked = name.includes("_exps");
    const bytes = Uint8Array.from(all.flatMap(({ bytes }) => [...bytes]));
    tensors.push({ name, shape: stacked ? [all.length, ...shape] : shape, type: CODES[dtype]!, bytes });
  }
  const metadata = Object.entries(metadataOf(config)).map(([key, value]) =>
    [key.replace(/^llama\./, `${architecture}.`), value] as const
  );
  const u32 = (name: string) => ({ u32: Number(config[name]) });
  return ggufFile({
    metadata: {
      ...Object.fromEntries(metadata),
      "general.architecture": { text: architecture },
      ...config["num_experts"] === undefined ? {} : {
        [`${architecture}.expert_count`]: u32("num_experts"),
        [`${architecture}.expert_used_count`]: u32("num_experts_per_tok"),
        [`${architecture}.expert_feed_forward_length`]: u32("moe_intermediate_size"),
      },
    },
    tensors,
  });
}

/** The metadata that stand for a config. */
export function metadataOf(given: LlamaConfig): Record<string, GgufValue> {
  const config = whole(given);
  const u32 = (name: string) => ({ u32: Number(config[name]) });
  const headDim = Number(
    config["head_dim"] ?? Number(config["hidden_size"]) / Number(config["num_attention_heads"]),
  );
  const eos = config["eos_token_id"];
  return {
    "general.architecture": { text: "llama" },
    "llama.context_length": u32("max_position_embeddings"),
    "llama.embedding_length": u32("hidden_size"),
    "llama.block_count": u32("num_hidden_layers"),
    "llama.feed_forward_length": u32("intermediate_size"),
    "llama.attention.head_count": u32("num_attention_heads"),
    "llama.attention.head_count_kv": u32("num_key_value_heads"),
    "llama.attention.key_length": { u32: headDim },
    "llama.attention.value_length": { u32: headDim },
    "llama.attention.layer_norm_rms_epsilon": { f32: Number(config["rms_norm_eps"]) },
    "llama.rope.dimension_count": { u32: headDim },
    "llama.rope.freq_base": { f32: Number(config["rope_theta"]) },
    "llama.vocab_size": u32("vocab_size"),
    ...(typeof eos === "number" ? { "tokenizer.ggml.eos_token_id": { u32: eos } } : {}),
  };
}

function ggufName(name: string): string {
  const [, layer, part = "", kind] = /^(?:model\.layers\.(\d+)\.)?(.*)\.(weight|bias)$/.exec(name) ?? [];
  return `${layer === undefined ? "" : `blk.${layer}.`}${NAMES[part]}.${kind}`;
}

/** In each head, `[2, half]` rows become `[half, 2]`. */
function interleave(tensor: HostTensor, heads: number): HostTensor {
  const [rows = 0] = tensor.shape, size = tensor.bytes.length / rows, half = rows / heads / 2;
  const bytes = new Uint8Array(tensor.bytes.length);
  for (let to = 0; to < rows; to++) {
    const head = Math.floor(to / (2 * half)), within = to % (2 * half);
    const from = head * 2 * half + (within % 2) * half + (within >> 1);
    bytes.set(tensor.bytes.subarray(from * size, (from + 1) * size), to * size);
  }
  return { ...tensor, bytes };
}

/** A matrix in blocks of 8 bits, each with the scale of its largest entry; `null` for what is no matrix of floats. */
export function toQ8(tensor: HostTensor, values: Float32Array): Pick<StoredTensor, "type" | "bytes"> | null {
  if (tensor.shape.length < 2 || tensor.shape.at(-1)! % 32 !== 0) return null;
  const blocks = elements(tensor.shape) / 32,
    bytes = new Uint8Array(blocks * 34),
    view = new DataView(bytes.buffer);
  for (let block = 0; block < blocks; block++) {
    const part = values.subarray(block * 32, block * 32 + 32);
    const scale = part.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
    view.setFloat16(block * 34, scale, true);
    part.forEach((value, i) => view.setInt8(block * 34 + 2 + i, scale === 0 ? 0 : Math.round(value / scale)));
  }
  return { type: 8, bytes };
}
