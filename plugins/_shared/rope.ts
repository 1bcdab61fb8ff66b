/** Rotary frequencies and their tables, with the ways of stretching them that checkpoints ask for. */
import { ConfigError } from "../../core/errors.ts";
import type { Backend } from "../../core/tensor.ts";
import type { RopeTables } from "../../kernels/ops/mod.ts";

/** What the rotary embedding of a model is made from. */
export interface RopeSpec {
  /** Entries of one head. */
  readonly headDim: number;
  /** Base of the frequencies, `rope_theta`. */
  readonly theta: number;
  /** `rope_scaling` of the config, or `null`. */
  readonly scaling: Readonly<Record<string, unknown>> | null;
  /** Rows of the tables: positions 0 … positions − 1. */
  readonly positions: number;
  /** `max_position_embeddings`, which yarn falls back to; `positions` when absent. */
  readonly maxPositions?: number;
}

/** Frequencies as they are used, and the factor of cosines and sines. */
export interface RopeFrequencies {
  /** Angle per position, `[headDim/2]`; of f32 precision, as transformers keeps them. */
  readonly inverse: Float32Array;
  /** Factor of both tables (yarn's attention factor), else 1. */
  readonly factor: number;
}

type Scaling = Readonly<Record<string, unknown>>;
type Rule = (base: Float64Array, scaling: Scaling, spec: Omit<RopeSpec, "positions">) => RopeFrequencies;

// mrope is the older name of positions that only sections set apart.
const RULES: Readonly<Record<string, Rule>> = { default: plain, mrope: plain, linear, llama3, yarn };

function field(scaling: Scaling, name: string, fallback?: number): number {
  const value = scaling[name] ?? fallback;
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw new ConfigError(`rope_scaling.${name}`, `expected a number, received ${JSON.stringify(value)}`);
  }
  return value;
}

function positive(scaling: Scaling, name: string, fallback?: number): number {
  const value = field(scaling, name, fallback);
  if (value <= 0) throw new ConfigError(`rope_scaling.${name}`, `expected more than 0, received ${value}`);
  return value;
}

function plain(base: Float64Array): RopeFrequencies {
  return { inverse: Float32Array.from(base), factor: 1 };
}

function linear(base: Float64Array, scaling: Scaling): RopeFrequencies {
  const factor = positive(scaling, "factor");
  return { inverse: Float32Array.from(base, (f) => f / factor), factor: 1 };
}

/** Long wavelengths are stretched, short ones kept, those between blended (as Llama 3.1 was trained). */
function llama3(base: Float64Array, scaling: Scaling): RopeFrequencies {
  const factor = positive(scaling, "factor");
  const low = positive(scaling, "low_freq_factor"), high = positive(scaling, "high_freq_factor");
  const context = positive(scaling, "original_max_position_embeddings");
  if (high <= low) {
    throw new ConfigError(
      "rope_scaling.high_freq_factor",
      `expected more than low_freq_factor ${low}, received ${high}`,
    );
  }
  const inverse = Float32Array.from(base, (f) => {
    const turns = context * f / (2 * Math.PI);
    if (turns > high) return f;
    if (turns < low) return f / factor;
    const share = (turns - low) / (high - low);
    return (1 - share) * f / factor + share * f;
  });
  return { inverse, factor: 1 };
}

/** YaRN (Peng et al. 2023, arXiv 2309.00071, section 3): a ramp between stretched and kept frequencies. */
function yarn(base: Float64Array, scaling: Scaling, spec: Omit<RopeSpec, "positions">): RopeFrequencies {
  const { headDim, theta } = spec;
  const factor = positive(scaling, "factor");
  const context = positive(scaling, "original_max_position_embeddings", spec.maxPositions);
  const dimension = (turns: number) =>
    headDim * Math.log(context / (2 * Math.PI * turns)) / (2 * Math.log(theta));
  let low = dimension(positive(scaling, "beta_fast", 32));
  let high = dimension(positive(scaling, "beta_slow", 1));
  if (scaling["truncate"] !== false) [low, high] = [Math.floor(low), Math.ceil(high)];
  low = Math.max(low, 0);
  high = Math.min(high, headDim - 1);
  if (low === high) high += 0.001;
  const inverse = Float32Array.from(base, (f, i) => {
    const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1);
    return f / factor * ramp + f * (1 - ramp);
  });
  return { inverse, factor: yarnFactor(scaling, factor) };
}

function yarnFactor(scaling: Scaling, factor: number): number {
  if ((scaling["attention_factor"] ?? null) !== null) return positive(scaling, "attention_factor");
  const scale = (m: number) => factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1;
  const m = field(scaling, "mscale", 0), all = field(scaling, "mscale_all_dim", 0);
  return m && all ? scale(m) / scale(all) : scale(1);
}

/**
 * The frequencies of a model: `theta^(−2i/headDim)`, stretched as `rope_scaling` says.
 *
 * @throws {ConfigError} for a kind of scaling that is not known here, or one that lacks a field
 */
export function ropeFrequencies(spec: Omit<RopeSpec, "positions">): RopeFrequencies {
  const { headDim, theta, scaling } = spec;
  if (!Number.isInteger(headDim) || headDim <= 0 || headDim % 2 !== 0) {
    throw new ConfigError("head_dim", `expected an even number of entries, received ${headDim}`);
  }
  if (!(theta > 1 && Number.isFinite(theta))) {
    throw new ConfigError("rope_theta", `expected a number above 1, received ${theta}`);
  }
  const base = Float64Array.from({ length: headDim / 2 }, (_, i) => theta ** (-2 * i / headDim));
  if (scaling === null) return plain(base);
  const type = scaling["rope_type"] ?? scaling["type"] ?? "default";
  const rule = typeof type === "string" && Object.hasOwn(RULES, type) ? RULES[type] : undefined;
  if (!rule) {
    throw new ConfigError(
      "rope_scaling.rope_type",
      `expected one of ${Object.keys(RULES).join(", ")}, received ${JSON.stringify(type)}`,
    );
  }
  return rule(base, scaling, spec);
}

/**
 * Cosines and sines of the angles `position · frequency`, f32 `[positions, headDim/2]` each, on a backend. The angle is
 * rounded to f32 first, as transformers does: at long positions the rounding is what a model was trained with.
 *
 * @throws {ConfigError} as {@linkcode ropeFrequencies}
 */
export function ropeTables(backend: Backend, spec: RopeSpec): RopeTables {
  const { inverse, factor } = ropeFrequencies({ maxPositions: spec.positions, ...spec });
  const half = inverse.length;
  const cos = new Float32Array(spec.positions * half), sin = new Float32Array(cos.length);
  for (let p = 0, at = 0; p < spec.positions; p++) {
    for (let i = 0; i < half; i++, at++) {
      const angle = Math.fround(p * inverse[i]!);
      cos[at] = Math.cos(angle) * factor;
      sin[at] = Math.sin(angle) * factor;
    }
  }
  const shape = [spec.positions, half];
  return { cos: backend.from(cos, shape), sin: backend.from(sin, shape) };
}
