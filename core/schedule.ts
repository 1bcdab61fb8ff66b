/** Learning-rate schedules, as factors of the base rate by step (as transformers' `get_*_schedule_with_warmup`). */
import { ConfigError } from "./errors.ts";

/** How many steps a schedule spans. */
export interface ScheduleOptions {
  /** Steps over which the factor rises from 0 to 1; the very first step has factor 0. 0 if absent. */
  readonly warmupSteps?: number;
  /** All steps, warm-up included. */
  readonly totalSteps: number;
  /** Cosine waves over the steps after the warm-up; 0.5 (from 1 down to 0) if absent. */
  readonly cycles?: number;
}

/** Factor of the learning rate at a step, counted from 0. */
export type Schedule = (step: number) => number;

/** Names that {@linkcode schedule} knows. */
export type ScheduleName = "linear" | "cosine" | "constant" | "none";

/** All of {@linkcode ScheduleName}. */
export const SCHEDULES: readonly ScheduleName[] = ["linear", "cosine", "constant", "none"];

/**
 * A schedule by name: `linear` and `cosine` fall to 0 at the last step, `constant` stays at 1, all after a warm-up;
 * `none` is 1 from the first step on.
 *
 * @throws {ConfigError} when the name is none of these or a number of steps is negative
 */
export function schedule(name: string, options: ScheduleOptions): Schedule {
  const { warmupSteps = 0, totalSteps, cycles = 0.5 } = options;
  if (!(warmupSteps >= 0) || !(totalSteps >= 0)) {
    throw new ConfigError(
      "schedule",
      `expected numbers of steps from 0 on, received ${warmupSteps} of ${totalSteps}`,
    );
  }
  if (!(SCHEDULES as readonly string[]).includes(name)) {
    throw new ConfigError("schedule", `expected one of ${SCHEDULES.join(", ")}, received "${name}"`);
  }
  return (step) => {
    if (name === "none") return 1;
    if (step < warmupSteps) return step / Math.max(1, warmupSteps);
    const progress = (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
    if (name === "linear") return Math.max(0, 1 - progress);
    return name === "constant" ? 1 : Math.max(0, 0.5 * (1 + Math.cos(2 * Math.PI * cycles * progress)));
  };
}
