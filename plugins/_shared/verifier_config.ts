/** The fields of a verifier's `config.json` that decoder models have in common, read and bounded. */
import { ConfigError } from "../../core/errors.ts";
import type { VerifierInfo } from "../../core/plugin.ts";

type Config = Readonly<Record<string, unknown>>;

/** Whether `architectures` of a config has one of these names. */
export function named(config: Config, names: readonly string[]): boolean {
  const { architectures } = config;
  return Array.isArray(architectures) && architectures.some((name) => names.includes(name));
}

/** Reads the fields of a config; every message names the model and the field. */
export class ConfigFields {
  readonly #config: Config;
  readonly #where: string;

  /** @param where folder or name of the model; `file`: the file of the fields */
  constructor(config: Config, where: string, file = "config.json") {
    this.#config = config;
    this.#where = `${where}/${file}`;
  }

  /** Refuses a field's value. */
  refuse(name: string, expected: string): ConfigError {
    const value = this.#config[name];
    const received = value === undefined ? "nothing" : JSON.stringify(value)?.slice(0, 80);
    return new ConfigError(
      `${this.#where}: ${name}`,
      `expected ${expected}, received ${received}`,
    );
  }

  /** A whole number from 1 to `most`; `fallback` where the field is absent or null. */
  count(name: string, options: { readonly most?: number; readonly fallback?: number } = {}): number {
    const { most = 2 ** 24, fallback } = options;
    const value = this.#config[name] ?? fallback;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > most) {
      throw this.refuse(name, `a whole number from 1 to ${most}`);
    }
    return value;
  }

  /** A whole number, 0 too; `fallback` where the field is absent or null. */
  whole(name: string, fallback: number): number {
    const value = this.#config[name] ?? fallback;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0) {
      throw this.refuse(name, "a whole number");
    }
    return value;
  }

  /** A positive number; `fallback` where the field is absent or null. */
  positive(name: string, fallback?: number): number {
    const value = this.#config[name] ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) {
      throw this.refuse(name, "a number above 0");
    }
    return value;
  }

  /** A truth value; `fallback` where the field is absent or null. */
  flag(name: string, fallback = false): boolean {
    const value = this.#config[name] ?? fallback;
    if (typeof value !== "boolean") throw this.refuse(name, "true or false");
    return value;
  }

  /** Numbers of layers; none where the field is absent or null. */
  layers(name: string, count: number): readonly number[] {
    const value = this.#config[name] ?? [];
    const fits = (layer: unknown) => Number.isInteger(layer) && (layer as number) >= 0;
    if (!Array.isArray(value) || value.length > count || !value.every(fits)) {
      throw this.refuse(name, "a list of layers");
    }
    return value;
  }

  /** Refuses a count that is no multiple of `of`. */
  multiple(name: string, of: number): void {
    if (this.count(name) % of !== 0) throw this.refuse(name, `a multiple of ${of}`);
  }

  /** An object or null; `null` where the field is absent. */
  record(name: string): Config | null {
    const value = this.#config[name] ?? null;
    if (typeof value !== "object" || Array.isArray(value)) throw this.refuse(name, "an object or null");
    return value as Config | null;
  }

  /** Token ids: one, several or none. */
  tokens(name: string): readonly number[] {
    const value = this.#config[name] ?? [];
    const list: unknown[] = Array.isArray(value) ? value : [value];
    if (list.length > 1024 || !list.every((id) => Number.isInteger(id) && (id as number) >= 0)) {
      throw this.refuse(name, "a token id or a list of them");
    }
    return list as number[];
  }

  /**
   * Which layers see only the last keys: how many, or `null`. A list of `layer_types` says so; where there is none, `sliding`
   * does.
   */
  windows(layers: number, sliding: (layer: number) => boolean): readonly (number | null)[] {
    const types = this.#config["layer_types"] ?? null;
    const known = ["full_attention", "sliding_attention"];
    const fits = Array.isArray(types) && types.length === layers &&
      types.every((type) => known.includes(type));
    if (types !== null && !fits) throw this.refuse("layer_types", `${layers} of ${known.join(" and ")}`);
    const slides = (layer: number) => fits ? types[layer] === known[1] : sliding(layer);
    return Array.from({ length: layers }, (_, layer) => slides(layer) ? this.count("sliding_window") : null);
  }

  /** Refuses weights that are quantised, but for one way where `method` names it; gives whether they are. */
  quantised(method?: string): boolean {
    const config = this.record("quantization_config");
    if (config === null) return false;
    if (method !== undefined && config["quant_method"] === method) return true;
    throw new ConfigError(
      `${this.#where}: quantization_config.quant_method`,
      `expected ${method ? `"${method}" or ` : ""}weights that are not quantised, received ${
        JSON.stringify(config["quant_method"] ?? null).slice(0, 80)
      }`,
      { hint: "Take the model in bf16, as GGUF, or from a server with the vllm engine" },
    );
  }

  /** Refuses any other value of a field that must have one; absent is as good. */
  only(name: string, value: string): void {
    if ((this.#config[name] ?? value) !== value) throw this.refuse(name, JSON.stringify(value));
  }
}

/** A config whose text part is nested, as one that is not; what is said of the whole stays. */
function textPart(config: Config, nameOrPath: string): Config {
  const text = new ConfigFields(config, nameOrPath).record("text_config");
  if (text === null) return config;
  const own = ["architectures", "model_type", "tie_word_embeddings", "quantization_config"];
  const kept = own.filter((name) => (config[name] ?? null) !== null).map((name) => [name, config[name]]);
  return { ...config, ...text, ...Object.fromEntries(kept) };
}

/** What a family takes where its config says nothing. */
export interface InfoDefaults {
  /** Entries of a head; `hidden_size / num_attention_heads` when absent. */
  readonly headDim?: number;
  /** `rms_norm_eps`; 1e-6 when absent. */
  readonly rmsNormEps?: number;
  /** `rope_theta`; 10000 when absent. */
  readonly ropeTheta?: number;
}

/**
 * What is known of a decoder model from its config.
 *
 * @throws {ConfigError} when a field is missing or cannot be used
 */
export function decoderInfo(
  whole: Config,
  nameOrPath: string,
  defaults: InfoDefaults = {},
): VerifierInfo {
  const config = textPart(whole, nameOrPath);
  const fields = new ConfigFields(config, nameOrPath);
  const hiddenSize = fields.count("hidden_size");
  const heads = fields.count("num_attention_heads", { most: 4096 });
  const kvHeads = fields.count("num_key_value_heads", { most: 4096, fallback: heads });
  if (heads % kvHeads !== 0) {
    throw fields.refuse("num_key_value_heads", `a divisor of num_attention_heads ${heads}`);
  }
  const headDim = fields.count("head_dim", { most: 4096, fallback: defaults.headDim ?? hiddenSize / heads });
  if (headDim % 2 !== 0) throw fields.refuse("head_dim", "an even number");
  const architectures = config["architectures"];
  // Newer checkpoints say both in one object.
  const rope = fields.record("rope_parameters");
  const theta = new ConfigFields(rope ? { ...config, ...rope } : config, nameOrPath);
  return {
    nameOrPath,
    architectures: Array.isArray(architectures) ? architectures.map(String) : [],
    modelType: String(config["model_type"] ?? ""),
    hiddenSize,
    layers: fields.count("num_hidden_layers", { most: 4096 }),
    heads,
    kvHeads,
    headDim,
    intermediateSize: fields.count("intermediate_size"),
    vocabSize: fields.count("vocab_size"),
    maxPositions: fields.count("max_position_embeddings"),
    rmsNormEps: fields.positive("rms_norm_eps", defaults.rmsNormEps ?? 1e-6),
    ropeTheta: theta.positive("rope_theta", defaults.ropeTheta ?? 10000),
    ropeScaling: rope ?? fields.record("rope_scaling"),
    eosTokenIds: fields.tokens("eos_token_id"),
    raw: config,
  };
}
