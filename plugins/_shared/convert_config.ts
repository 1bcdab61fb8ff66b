/** What converters share about configs: the research code's on one side, the speculators format's on the other. */
import type { ConvertNote, ConvertRequest, ConvertSource } from "../../core/conversion.ts";
import { ConfigError } from "../../core/errors.ts";
import { ConfigFields } from "./verifier_config.ts";

type Config = Readonly<Record<string, unknown>>;

/** Fields of a draft's decoder layers that every converter takes along. */
export interface LayerFields {
  /** Biases of the attention's projections. */
  readonly attention_bias: boolean;
  /** Entries of a head. */
  readonly head_dim: number;
  /** Activation of the MLP. */
  readonly hidden_act: string;
  /** Width. */
  readonly hidden_size: number;
  /** Spread of weights drawn at random. */
  readonly initializer_range: number;
  /** Width of the MLP. */
  readonly intermediate_size: number;
  /** Longest sequence. */
  readonly max_position_embeddings: number;
  /** Biases of the MLP. */
  readonly mlp_bias: boolean;
  /** Query heads. */
  readonly num_attention_heads: number;
  /** Key and value heads. */
  readonly num_key_value_heads: number;
  /** Added to the mean square in norms. */
  readonly rms_norm_eps: number;
  /** Base of the rotary frequencies. */
  readonly rope_theta: number;
}

/**
 * The fields of the draft's decoder layers that every converter takes along, with the research code's defaults.
 *
 * source: speculators v0.4.0.1, `convert/eagle/eagle_converter.py`, `convert/eagle/eagle3_converter.py`
 *
 * @throws {ConfigError} when a field has a value that cannot be used
 */
export function layerFields(
  source: ConvertSource,
  defaults: { readonly kvHeads: number | null; readonly headDim: boolean },
): LayerFields {
  const { config } = source, fields = new ConfigFields(config, source.where);
  const hidden = fields.count("hidden_size", { fallback: 4096 });
  const heads = fields.count("num_attention_heads", { fallback: 32, most: 4096 });
  const activation = config["hidden_act"] ?? "silu";
  if (typeof activation !== "string") throw fields.refuse("hidden_act", "the name of an activation");
  const kvHeads = fields.count("num_key_value_heads", {
    fallback: config["num_key_value_heads"] === null ? heads : defaults.kvHeads ?? heads,
    most: 4096,
  });
  return {
    attention_bias: fields.flag("attention_bias"),
    head_dim: defaults.headDim
      ? fields.count("head_dim", { fallback: Math.floor(hidden / heads), most: 4096 })
      : Math.floor(hidden / heads),
    hidden_act: activation,
    hidden_size: hidden,
    initializer_range: fields.positive("initializer_range", 0.02),
    intermediate_size: fields.count("intermediate_size", { fallback: 11008 }),
    max_position_embeddings: fields.count("max_position_embeddings", { fallback: 4096, most: 2 ** 30 }),
    mlp_bias: fields.flag("mlp_bias"),
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    rms_norm_eps: fields.positive("rms_norm_eps", 1e-6),
    rope_theta: fields.positive("rope_theta", 10000),
  };
}

/** `attention_dropout`, 0 where it is absent. */
export function dropout(source: ConvertSource): number {
  const value = source.config["attention_dropout"] ?? 0;
  if (typeof value === "number" && value >= 0 && value <= 1) return value;
  throw new ConfigFields(source.config, source.where).refuse("attention_dropout", "a number from 0 to 1");
}

/** Token ids, as far as they differ from the defaults of the Python system's class. */
export function tokenIds(config: Config): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [name, usual] of Object.entries({ pad_token_id: null, bos_token_id: 1, eos_token_id: 2 })) {
    if (name in config && config[name] !== usual) found[name] = config[name];
  }
  return found;
}

/** `rope_scaling`, its kind under the older key `type` said under `rope_type` too. */
export function ropeScaling(source: ConvertSource): Config | null {
  const scaling = new ConfigFields(source.config, source.where).record("rope_scaling");
  if (scaling === null || "rope_type" in scaling || !("type" in scaling)) return scaling;
  return { ...scaling, rope_type: scaling["type"] };
}

/** Base and scaling of the rotary frequencies wherever a version of transformers keeps them. */
export function ropeFields(source: ConvertSource): { rope_theta: number; rope_scaling: Config | null } {
  const fields = new ConfigFields(source.config, source.where);
  const newer = fields.record("rope_parameters");
  const theta = fields.positive("rope_theta", (newer?.["rope_theta"] as number | undefined) ?? 10000);
  const older = ropeScaling(source);
  if (older !== null || newer === null || (newer["rope_type"] ?? "default") === "default") {
    return { rope_theta: theta, rope_scaling: older };
  }
  const { rope_theta: _, ...scaling } = newer;
  return { rope_theta: theta, rope_scaling: scaling };
}

/**
 * Architectures of the verifier.
 *
 * @throws {ConfigError} when they are no list of names, or there is no verifier
 */
export function verifierOf(request: ConvertRequest): {
  readonly nameOrPath: string;
  readonly config: Config;
  readonly architectures: readonly string[];
} {
  const { verifier } = request;
  if (verifier === null) {
    throw new ConfigError("verifier", "expected the model that the draft was made for, received none", {
      hint: "Name it with --verifier",
    });
  }
  const { nameOrPath, config } = verifier, value = config["architectures"];
  const architectures: unknown = value === undefined ? ["LlamaForCausalLM"] : value;
  if (!Array.isArray(architectures) || !architectures.every((name) => typeof name === "string")) {
    throw new ConfigFields(config, nameOrPath).refuse("architectures", "a list of names");
  }
  return { nameOrPath, config, architectures };
}

/** The text part of a verifier's config: the whole of it unless it is nested. */
export function textConfig(config: Config): Config {
  const text = config["text_config"];
  const nested = typeof text === "object" && text !== null && !Array.isArray(text);
  return config["hidden_size"] === undefined && nested ? text as Config : config;
}

/**
 * Refuses a verifier of another width or vocabulary; what its config does not say is not compared.
 *
 * @throws {ConfigError} naming field and sizes
 */
export function requireFit(
  request: ConvertRequest,
  sizes: { readonly hidden: number; readonly vocab: number },
): void {
  const { nameOrPath, config } = verifierOf(request), text = textConfig(config);
  for (const [field, expected] of [["hidden_size", sizes.hidden], ["vocab_size", sizes.vocab]] as const) {
    const value = text[field];
    if (typeof value !== "number" || value === expected) continue;
    throw new ConfigError(
      `${nameOrPath}/config.json: ${field}`,
      `expected ${expected} as the draft in "${request.source.where}" has it, received ${value}`,
      { hint: "Take the verifier that the draft was made for" },
    );
  }
}

/** An option that is true or false; what was not given is `undefined`. */
export function flagOption(request: ConvertRequest, name: string): boolean | undefined {
  return request.options[name] as boolean | undefined;
}

/** Says that something the Python system loses is kept. */
export function kept(text: string): ConvertNote {
  return { level: "info", text: `Kept, which the Python system loses: ${text}` };
}
