/**
 * What the `config.json` of every speculator has, whatever its algorithm.
 *
 * source: vllm-project/speculators v0.4.0.1, `src/speculators/config.py`, `src/speculators/proposals/greedy.py`
 *
 * @module
 */
import type { SpeculatorConfig, StandardSchema } from "../plugin.ts";
import { z } from "./_zod.ts";

/** A way in which a speculator's tokens are proposed and accepted. */
export interface ProposalMethod {
  /** `greedy` is a chain of the draft's most likely tokens. */
  readonly proposal_type: string;
  /** Tokens a round. */
  readonly speculative_tokens?: number | undefined;
  /** A proposed token is accepted when it is among this many of the verifier's most likely ones. */
  readonly verifier_accept_k?: number | undefined;
  /** How far below the most likely one it may be then, in log likelihood. */
  readonly accept_tolerance?: number | undefined;
  /** Everything else. */
  readonly [field: string]: unknown;
}

/** What a speculator does, and for which verifier. */
export interface SpeculatorsConfig {
  /** Name of the algorithm. */
  readonly algorithm: string;
  /** Ways to propose. */
  readonly proposal_methods: readonly ProposalMethod[];
  /** `proposal_type` of the one that is used unless asked otherwise. */
  readonly default_proposal_method: string;
  /** The model that is sped up. */
  readonly verifier: {
    /** Hub name or path; `null` when it is not said. */
    readonly name_or_path: string | null;
    /** `architectures` of its config. */
    readonly architectures: readonly string[];
    /** Everything else. */
    readonly [field: string]: unknown;
  };
  /** Everything else. */
  readonly [field: string]: unknown;
}

/** A `config.json` of a speculator, its common fields checked. */
export interface CommonConfig extends SpeculatorConfig {
  /** Version of the format's own library that it was written by. */
  readonly speculators_version: string;
  /** What it does, and for which verifier. */
  readonly speculators_config: SpeculatorsConfig;
  /** Names of the draft's model class. */
  readonly architectures?: readonly string[] | null | undefined;
  /** Element type of the weights. */
  readonly dtype?: string | null | undefined;
  /** The draft's layers, as transformers configures them. */
  readonly transformer_layer_config?: Readonly<Record<string, unknown>> | null | undefined;
}

/** Most tokens a round that are believed. */
const MAX_SPECULATIVE_TOKENS = 1024;

/** The schema of the common fields; all others pass. */
export function commonSchema(): StandardSchema<CommonConfig> {
  const text = z.string().min(1).max(4096);
  const proposal = z.looseObject({
    proposal_type: text,
    speculative_tokens: z.int().min(1).max(MAX_SPECULATIVE_TOKENS).optional(),
    verifier_accept_k: z.int().min(1).optional(),
    accept_tolerance: z.number().min(0).optional(),
  });
  const speculators = z.looseObject({
    algorithm: text,
    proposal_methods: z.array(proposal).min(1).max(64),
    default_proposal_method: text,
    verifier: z.looseObject({ name_or_path: text.nullable(), architectures: z.array(text).max(64) }),
  }).superRefine((config, context) => {
    const types = config.proposal_methods.map((method) => method.proposal_type);
    if (types.includes(config.default_proposal_method)) return;
    const message = `expected one of the proposal_methods, ${types.join(", ")}`;
    context.addIssue({ code: "custom", path: ["default_proposal_method"], message });
  });
  return z.looseObject({
    speculators_model_type: text,
    speculators_version: text,
    speculators_config: speculators,
    architectures: z.array(text).max(64).nullish(),
    dtype: text.nullish(),
    transformer_layer_config: z.record(z.string(), z.unknown()).nullish(),
  });
}
