/**
 * The config of a new speculator.
 *
 * @module
 */
import type { CommonConfig } from "./schema.ts";

/** Tokens a round that a new speculator proposes. */
export const DEFAULT_SPECULATIVE_TOKENS = 3;

/** Versions of the Python system and of transformers whose fields are written. */
export const FORMAT_VERSIONS = { speculators_version: "0.4.0.1", transformers_version: "4.57.6" } as const;

/** What is said of a new speculator. */
export interface NewSpeculator {
  /** The algorithm: name of the draft plugin. */
  readonly algorithm: string;
  /** Names of the model class in the Python system, which vLLM goes by. */
  readonly architectures: readonly string[];
  /** The model that is sped up. */
  readonly verifier: { readonly nameOrPath: string | null; readonly architectures: readonly string[] };
  /** Tokens a round; 3 unless given. */
  readonly speculativeTokens?: number | undefined;
  /** Element type of the weights; `float32` unless given. */
  readonly dtype?: string | undefined;
}

/**
 * The config of a new speculator: the common fields, then the algorithm's own. The Python system writes three more
 * fields that say nothing (`auto_map`, which names a source file, `base_model_ep_plan`, `has_no_defaults_at_init`).
 *
 * @param fields the algorithm's own fields
 */
export function newSpeculatorsConfig<F extends Readonly<Record<string, unknown>>>(
  speculator: NewSpeculator,
  fields: F,
): CommonConfig & F {
  return {
    architectures: [...speculator.architectures],
    dtype: speculator.dtype ?? "float32",
    speculators_config: {
      algorithm: speculator.algorithm,
      default_proposal_method: "greedy",
      proposal_methods: [{
        accept_tolerance: 0,
        proposal_type: "greedy",
        speculative_tokens: speculator.speculativeTokens ?? DEFAULT_SPECULATIVE_TOKENS,
        verifier_accept_k: 1,
      }],
      verifier: {
        architectures: [...speculator.verifier.architectures],
        name_or_path: speculator.verifier.nameOrPath,
      },
    },
    speculators_model_type: speculator.algorithm,
    ...FORMAT_VERSIONS,
    ...fields,
  };
}
