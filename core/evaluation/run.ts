/** What a stage found, as it is kept. */
import type { EvaluationFigures } from "./figures.ts";
import {
  type DataSetFigures,
  type EvaluationRun,
  RESULTS_SCHEMA,
  RESULTS_VERSION,
  type SweepPoint,
} from "./results.ts";

/** What a stage found. */
export interface Found extends EvaluationFigures {
  /** Each data set's figures. */
  readonly data_sets: readonly DataSetFigures[];
  /** Whether all texts were those of the verifier alone; `null` where nobody compared. */
  readonly identical: boolean | null;
  /** Loads, where some were asked for. */
  readonly sweep?: readonly SweepPoint[];
}

/** What is known besides. */
export type About = Pick<EvaluationRun, "name" | "engine" | "base" | "speculator" | "settings">;

/** Puts an evaluation together as `results.json` has it. */
export function evaluationRun(found: Found, about: About): EvaluationRun {
  const { data_sets, identical, sweep = [] } = found;
  return {
    schema: RESULTS_SCHEMA,
    version: RESULTS_VERSION,
    name: about.name,
    created: new Date().toISOString(),
    engine: about.engine,
    base: about.base,
    speculator: about.speculator,
    settings: about.settings,
    identical,
    all: figuresOf(found),
    data_sets: data_sets.map((set) => ({ name: set.name, ...figuresOf(set) })),
    sweep,
  };
}

/** The figures alone: what a stage gives besides is not kept. */
function figuresOf(found: EvaluationFigures): EvaluationFigures {
  return {
    prompts: found.prompts,
    prompt_tokens: found.prompt_tokens,
    output_tokens: found.output_tokens,
    rounds: found.rounds,
    drafted: found.drafted,
    accepted: found.accepted,
    acceptance_per_position: found.acceptance_per_position,
    conditional_acceptance: found.conditional_acceptance,
    accepted_per_position: found.accepted_per_position,
    mean_accepted_length: found.mean_accepted_length,
    tokens_per_second: found.tokens_per_second,
    speed_up: found.speed_up,
    time_per_token_ms: found.time_per_token_ms,
    time_to_first_token_ms: found.time_to_first_token_ms,
    latency_ms: found.latency_ms,
  };
}
