/** Small checkpoints in the layouts of the research code, made for tests. */
import { join } from "node:path";
import { convert, hostTensor } from "../core/formats/dtype.ts";
import { writeSafetensors } from "../core/formats/safetensors.ts";
import type { FileDType, HostTensor } from "../mod.ts";

/** Sizes of every checkpoint made here; those of the embedded verifiers of the goldens do not matter. */
export const SIZES = {
  hidden: 16,
  intermediate: 24,
  heads: 2,
  kvHeads: 1,
  headDim: 8,
  vocab: 40,
  draftVocab: 12,
};

/** How a checkpoint differs from the usual one. */
export interface ResearchOptions {
  /** Type of its floats; bf16. */
  readonly dtype?: FileDType;
  /** Fields of its config that are added or replaced. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Decoder layers; 1. */
  readonly layers?: number;
  /** Norms of query and key heads. */
  readonly headNorms?: boolean;
  /** Changes its tensors before they are written. */
  readonly change?: (tensors: Map<string, HostTensor>) => void;
}

/** A config of a verifier that drafts made here fit. */
export async function writeVerifierConfig(
  folder: string,
  fields: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  await Deno.mkdir(folder, { recursive: true });
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: SIZES.hidden,
    intermediate_size: SIZES.intermediate,
    num_hidden_layers: 4,
    num_attention_heads: SIZES.heads,
    num_key_value_heads: SIZES.kvHeads,
    vocab_size: SIZES.vocab,
    max_position_embeddings: 64,
    ...fields,
  };
  await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(config));
  return folder;
}

/** Floats that differ from place to place. */
export function floats(shape: readonly number[], seed: number, dtype: FileDType = "bf16"): HostTensor {
  const count = shape.reduce((product, axis) => product * axis, 1);
  const values = Float32Array.from({ length: count }, (_, i) => Math.sin(seed * 37 + i * 0.61) / 4);
  return convert(hostTensor(values, shape), dtype);
}

/** Writes an Eagle-3 checkpoint as its authors publish it, and returns its tensors. */
export async function writeEagle3(
  folder: string,
  options: ResearchOptions = {},
): Promise<Map<string, HostTensor>> {
  const { hidden, heads, kvHeads, headDim, intermediate, vocab, draftVocab } = SIZES;
  const { layers = 1, dtype = "bf16" } = options, tensors = new Map<string, HostTensor>();
  const put = (name: string, ...shape: number[]) => tensors.set(name, floats(shape, tensors.size + 1, dtype));
  put("fc.weight", hidden, 3 * hidden);
  for (let i = 0; i < layers; i++) {
    const prefix = i === 0 ? "midlayer" : `layers.${i}`, input = i === 0 ? 2 * hidden : hidden;
    putLayer(put, prefix, { hidden, input, heads, kvHeads, headDim, intermediate });
    put(`${prefix}.input_layernorm.weight`, hidden);
    if (i === 0) put(`${prefix}.hidden_norm.weight`, hidden);
    for (const norm of options.headNorms ? ["q_norm", "k_norm"] : []) {
      put(`${prefix}.self_attn.${norm}.weight`, headDim);
    }
  }
  put("norm.weight", hidden);
  put("lm_head.weight", draftVocab, hidden);
  const ids = Array.from({ length: draftVocab }, (_, i) => i * 3 + (i % 2));
  const kept = new Uint8Array(vocab);
  for (const id of ids) kept[id] = 1;
  tensors.set("d2t", hostTensor(BigInt64Array.from(ids, (id, i) => BigInt(id - i)), [draftVocab]));
  tensors.set("t2d", { ...hostTensor(kept, [vocab]), dtype: "bool" });
  await write(folder, tensors, options, { num_hidden_layers: layers, draft_vocab_size: draftVocab });
  return tensors;
}

/** Writes an Eagle v1 checkpoint as its authors publish it, with the norms and the bias of HASS if asked for. */
export async function writeEagle(
  folder: string,
  options: ResearchOptions & { readonly hass?: boolean } = {},
): Promise<Map<string, HostTensor>> {
  const { hidden, heads, kvHeads, headDim, intermediate, vocab } = SIZES, { dtype = "bf16" } = options;
  const tensors = new Map<string, HostTensor>();
  const put = (name: string, ...shape: number[]) => tensors.set(name, floats(shape, tensors.size + 1, dtype));
  put("embed_tokens.weight", vocab, hidden);
  put("fc.weight", hidden, 2 * hidden);
  putLayer(put, "layers.0", { hidden, input: hidden, heads, kvHeads, headDim, intermediate });
  if (options.hass) {
    put("fc.bias", hidden);
    for (const norm of ["hidden", "embed", "lm_head"]) put(`${norm}_layernorm.weight`, hidden);
  }
  await write(folder, tensors, options, { num_hidden_layers: 1 });
  return tensors;
}

interface LayerShape {
  readonly hidden: number;
  readonly input: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly intermediate: number;
}

function putLayer(put: (name: string, ...shape: number[]) => void, prefix: string, shape: LayerShape): void {
  const { hidden, input, heads, kvHeads, headDim, intermediate } = shape;
  put(`${prefix}.self_attn.q_proj.weight`, heads * headDim, input);
  put(`${prefix}.self_attn.k_proj.weight`, kvHeads * headDim, input);
  put(`${prefix}.self_attn.v_proj.weight`, kvHeads * headDim, input);
  put(`${prefix}.self_attn.o_proj.weight`, hidden, heads * headDim);
  put(`${prefix}.mlp.gate_proj.weight`, intermediate, hidden);
  put(`${prefix}.mlp.up_proj.weight`, intermediate, hidden);
  put(`${prefix}.mlp.down_proj.weight`, hidden, intermediate);
  put(`${prefix}.post_attention_layernorm.weight`, hidden);
}

async function write(
  folder: string,
  tensors: Map<string, HostTensor>,
  options: ResearchOptions,
  own: Readonly<Record<string, unknown>>,
): Promise<void> {
  options.change?.(tensors);
  await Deno.mkdir(folder, { recursive: true });
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: SIZES.hidden,
    intermediate_size: SIZES.intermediate,
    num_attention_heads: SIZES.heads,
    num_key_value_heads: SIZES.kvHeads,
    vocab_size: SIZES.vocab,
    max_position_embeddings: 64,
    rms_norm_eps: 1e-5,
    torch_dtype: "bfloat16",
    ...own,
    ...options.config,
  };
  await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(config));
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { metadata: { format: "pt" } });
}
