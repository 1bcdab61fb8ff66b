/**
 * The `config.json` that a GGUF file's metadata stands for.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { toFloat32 } from "./dtype.ts";
import type { GgufFile } from "./gguf.ts";
import { GGUF_ARCHITECTURES, ROPE_FACTORS } from "./_gguf_names.ts";

type Config = Record<string, unknown>;

/** How Llama 3.1 and its successors stretch their frequencies; files hold what comes of it, and not these numbers. */
const LLAMA3 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };

/** `general.architecture`, if it is one whose tensors have names here. */
export function ggufArchitecture(file: Pick<GgufFile, "metadata">): string | null {
  const name = file.metadata.get("general.architecture");
  return typeof name === "string" && Object.hasOwn(GGUF_ARCHITECTURES, name) ? name : null;
}

/**
 * Makes a model's config, as transformers has it, from the metadata and the tensors.
 *
 * @throws {ConfigError} when the architecture is not known here, or a field is missing or cannot be said in a config
 */
export async function ggufConfig(file: GgufFile): Promise<Config> {
  const fields = new Fields(file), prefix = fields.prefix;
  const heads = fields.count("attention.head_count"), hidden = fields.count("embedding_length");
  const headDim = fields.count("attention.key_length", fields.count("rope.dimension_count", hidden / heads));
  const theta = fields.number("rope.freq_base", 10000);
  for (const name of ["rope.dimension_count", "attention.value_length"]) {
    if (fields.count(name, headDim) !== headDim) throw fields.refuse(name, `the ${headDim} of a head`);
  }
  return {
    architectures: [GGUF_ARCHITECTURES[prefix]!.className],
    model_type: GGUF_ARCHITECTURES[prefix]!.modelType ?? prefix,
    hidden_size: hidden,
    intermediate_size: fields.count("feed_forward_length"),
    num_hidden_layers: fields.count("block_count"),
    num_attention_heads: heads,
    num_key_value_heads: fields.count("attention.head_count_kv", heads),
    head_dim: headDim,
    vocab_size: file.tensors.get("token_embd.weight")?.shape[0] ?? fields.count("vocab_size"),
    max_position_embeddings: fields.count("context_length"),
    rms_norm_eps: fields.number("attention.layer_norm_rms_epsilon"),
    rope_theta: theta,
    rope_scaling: await ropeScaling(file, { fields, theta, headDim }),
    hidden_act: "silu",
    tie_word_embeddings: !file.has("output.weight"),
    // Of the layers' biases, a config of this architecture names only those of all four projections.
    attention_bias: file.has("blk.0.attn_output.bias"),
    mlp_bias: file.has("blk.0.ffn_gate.bias"),
    bos_token_id: fields.token("bos_token_id"),
    eos_token_id: endings(fields),
    ...experts(file, fields),
  };
}

/** What is said of experts, if there are any. Their weights are always made to sum to 1: the files do not say otherwise. */
function experts(file: GgufFile, fields: Fields): Config {
  const mixed = file.has("blk.0.ffn_gate_inp.weight") || fields.number("expert_count", 0) !== 0;
  if (fields.prefix !== "qwen3moe") {
    if (mixed) throw fields.refuse("expert_count", "a model without experts");
    return {};
  }
  const layers = Array.from({ length: fields.count("block_count") }, (_, layer) => layer);
  return {
    num_experts: fields.count("expert_count"),
    num_experts_per_tok: fields.count("expert_used_count"),
    moe_intermediate_size: fields.count("expert_feed_forward_length"),
    norm_topk_prob: true,
    decoder_sparse_step: 1,
    mlp_only_layers: layers.filter((layer) => !file.has(`blk.${layer}.ffn_gate_inp.weight`)),
  };
}

/** A text ends with these: some files list the end of a turn beside that of the text. */
function endings(fields: Fields): number | number[] | null {
  const all = ["eos_token_id", "eot_token_id", "eom_token_id"].map((name) => fields.token(name));
  const ids = [...new Set(all.filter((id) => id !== null))];
  return ids.length > 1 ? ids : ids[0] ?? null;
}

async function ropeScaling(
  file: GgufFile,
  { fields, theta, headDim }: { readonly fields: Fields; readonly theta: number; readonly headDim: number },
): Promise<Config | null> {
  const type = file.metadata.get(`${fields.prefix}.rope.scaling.type`) ?? "none";
  if (file.has(ROPE_FACTORS)) {
    return stretched(file, toFloat32(await file.read(ROPE_FACTORS)), { theta, headDim });
  }
  if (type === "none") return null;
  const factor = fields.number("rope.scaling.factor");
  if (type === "linear") return { rope_type: "linear", factor };
  if (type === "yarn") {
    const context = fields.count("rope.scaling.original_context_length");
    return { rope_type: "yarn", factor, original_max_position_embeddings: context };
  }
  throw fields.refuse("rope.scaling.type", "none, linear or yarn");
}

/** The rule that gives these divisors of the frequencies. */
function stretched(
  file: GgufFile,
  divisors: Float32Array,
  { theta, headDim }: { readonly theta: number; readonly headDim: number },
): Config | null {
  if (divisors.every((divisor) => divisor === 1)) return null;
  const factor = divisors.reduce((most, divisor) => Math.max(most, divisor), 1);
  const { low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: context } = LLAMA3;
  const fits = divisors.length === headDim / 2 && divisors.every((divisor, i) => {
    const turns = context * theta ** (-2 * i / headDim) / (2 * Math.PI);
    const share = Math.min(Math.max((turns - low) / (high - low), 0), 1);
    return Math.abs(divisor * ((1 - share) / factor + share) - 1) < 1e-4;
  });
  if (fits) return { rope_type: "llama3", factor, ...LLAMA3 };
  throw new ConfigError(
    `${file.path}: ${ROPE_FACTORS}`,
    "expected the factors of Llama 3.1's rotary scaling, received others",
    { hint: "Put the config.json of the model beside the file: it says how the frequencies are scaled" },
  );
}

/** Metadata of an architecture, read and bounded. */
class Fields {
  readonly prefix: string;
  readonly #file: GgufFile;

  constructor(file: GgufFile) {
    const name = ggufArchitecture(file);
    if (name === null) {
      const received = JSON.stringify(file.metadata.get("general.architecture") ?? null);
      throw new ConfigError(
        `${file.path}: general.architecture`,
        `expected one of ${Object.keys(GGUF_ARCHITECTURES).join(", ")}, received ${received.slice(0, 80)}`,
        { hint: "Take the model as safetensors, with its config.json" },
      );
    }
    this.#file = file;
    this.prefix = name;
  }

  refuse(name: string, expected: string, prefix: string = this.prefix): ConfigError {
    const value = this.#file.metadata.get(`${prefix}.${name}`);
    const received = value === undefined ? "nothing" : typeof value === "object" ? "a list" : String(value);
    return new ConfigError(
      `${this.#file.path}: ${prefix}.${name}`,
      `expected ${expected}, received ${received.slice(0, 80)}`,
    );
  }

  /** A number as a decimal that has its f32, which is what the files keep. */
  number(name: string, fallback?: number): number {
    const value = this.#value(name, fallback);
    if (typeof value !== "number" || !Number.isFinite(value)) throw this.refuse(name, "a number");
    for (let digits = 6; digits < 9; digits++) {
      const short = Number(value.toPrecision(digits));
      if (Math.fround(short) === value) return short;
    }
    return value;
  }

  count(name: string, fallback?: number): number {
    const value = this.#value(name, fallback);
    if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value >= 2 ** 31) {
      throw this.refuse(name, "a whole number above 0");
    }
    return value;
  }

  token(name: string): number | null {
    const value = this.#file.metadata.get(`tokenizer.ggml.${name}`) ?? null;
    if (value === null) return null;
    if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
    throw this.refuse(name, "a token id", "tokenizer.ggml");
  }

  #value(name: string, fallback: number | undefined): unknown {
    const value = this.#file.metadata.get(`${this.prefix}.${name}`) ?? fallback;
    return typeof value === "bigint" ? Number(value) : value;
  }
}
