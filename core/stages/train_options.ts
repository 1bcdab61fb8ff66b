/** What a training run is told, with upstream's defaults, and what it gives. */
import type { ComputeDType } from "../compute_dtype.ts";
import { ConfigError } from "../errors.ts";
import type { DraftOptions } from "../plugin.ts";
import { type ScheduleName, SCHEDULES } from "../schedule.ts";

/** Settings of a training run; defaults are upstream's. */
export interface TrainOptions {
  /** Folder of the verifier. */
  readonly verifierNameOrPath: string;
  /** Draft plugin; `eagle3`. */
  readonly speculatorType?: string;
  /** A speculator whose weights (or, where it has none, whose config) a new run begins with. */
  readonly fromPretrained?: string;
  /** Folders of samples. */
  readonly dataPath: readonly string[];
  /** Folders of samples to validate on; what {@linkcode TrainOptions.trainDataRatio} leaves when absent. */
  readonly valDataPath?: readonly string[];
  /** Share of the samples that is trained on, where none are given to validate on; 0.9. */
  readonly trainDataRatio?: number;
  /** Where checkpoints go. */
  readonly savePath: string;
  /** Passes over the data; 20. */
  readonly epochs?: number;
  /** Stop after this many steps; all of the epochs when absent. */
  readonly maxSteps?: number;
  /** Learning rate; 1e-4. */
  readonly lr?: number;
  /** Decay of the weights, decoupled from the gradients; 0.01. */
  readonly weightDecay?: number;
  /** Tokens of a batch; 8192. */
  readonly totalSeqLen?: number;
  /** d2t.npy of the draft vocabulary. */
  readonly d2tPath?: string;
  /** t2d.npy of the draft vocabulary. */
  readonly t2dPath?: string;
  /** Steps of test-time training; 3. */
  readonly tttSteps?: number;
  /** Factor of the loss from step to step; 1. */
  readonly tttStepLossDecay?: number;
  /** Feed true tokens to later steps. Validation feeds the draft's own, as upstream's does. */
  readonly useOffPolicyTokens?: boolean;
  /** Loss plugin, or a JSON object of several with their weights; the draft's own loss when absent. */
  readonly lossFn?: string;
  /** Uniform noise on the states in training; 0.05. */
  readonly noiseStd?: number;
  /** Seed of weights and noise; 42. */
  readonly seed?: number;
  /** Course of the learning rate; linear. */
  readonly schedulerType?: ScheduleName;
  /** Steps of warm-up; {@linkcode TrainOptions.schedulerWarmupRatio} of all when absent. */
  readonly schedulerWarmupSteps?: number;
  /** Share of all steps that is warm-up; 0.01. */
  readonly schedulerWarmupRatio?: number;
  /** All steps of the schedule; those of the run. */
  readonly schedulerTotalSteps?: number;
  /** Waves of the cosine; 0.5. */
  readonly schedulerNumCosineCycles?: number;
  /** Largest norm of the gradients; 1. */
  readonly maxGradNorm?: number;
  /** Go on from the newest checkpoint in `savePath`; true. What is there is set aside otherwise. */
  readonly resume?: boolean;
  /** Steps from one checkpoint within an epoch to the next; none when absent. */
  readonly saveSteps?: number;
  /** Epochs from one checkpoint to the next from 1 on, a share of an epoch below; 1. The last epoch always has one. */
  readonly checkpointFreq?: number;
  /** How many of the newest checkpoints stay, besides the best one; all when absent. */
  readonly keep?: number;
  /** Samples that may be corrupt: they are named and left out; 0. */
  readonly maxBadSamples?: number;
  /** Leave out a batch whose loss or gradients are not finite, and go on; false. */
  readonly skipBadBatches?: boolean;
  /**
   * What weights are computed with: `bf16` copies each trained matrix to 16 bits for a step, while the matrix itself, its
   * gradient and its moments stay f32; f32.
   */
  readonly dtype?: ComputeDType;
  /**
   * Bytes that a step may take on the device: what a step of the draft leaves for its gradients is computed again where
   * there is no room, with the same result. Everything is kept when absent.
   */
  readonly memoryLimit?: number;
  /** Steps from one `metrics` event to the next; 1. */
  readonly logFreq?: number;
  /** The command line, to be recorded. */
  readonly command?: string;
  /** Settings of the draft model. */
  readonly draft?: DraftOptions;
}

/** What a training run gives. */
export interface TrainResult {
  /** Folder of the last checkpoint. */
  readonly checkpoint: string;
  /** Folder of the checkpoint with the lowest validation loss; `null` when none was validated. */
  readonly best: string | null;
  /** Steps in all. */
  readonly steps: number;
  /** Tokens trained on in this call. */
  readonly tokens: number;
  /** Seconds of this call. */
  readonly seconds: number;
  /** Metrics of the last validation, averaged over its batches. */
  readonly validation: Readonly<Record<string, number>> | null;
  /** Batches left out in this call because their loss was not finite. */
  readonly skippedBatches: number;
  /** Files of corrupt samples that were left out in this call. */
  readonly badSamples: readonly string[];
  /** Largest number of bytes the device held. */
  readonly peakBytes: number;
}

/** Settings that decide what a run computes: they must not change when it goes on. */
export type TrainSettings =
  & Readonly<
    Required<
      Pick<
        TrainOptions,
        | "speculatorType"
        | "epochs"
        | "lr"
        | "weightDecay"
        | "totalSeqLen"
        | "trainDataRatio"
        | "tttSteps"
        | "tttStepLossDecay"
        | "useOffPolicyTokens"
        | "noiseStd"
        | "seed"
        | "schedulerType"
        | "schedulerWarmupRatio"
        | "schedulerNumCosineCycles"
        | "maxGradNorm"
        | "dtype"
        | "draft"
      >
    >
  >
  & {
    readonly lossFn: string | null;
    readonly schedulerWarmupSteps: number | null;
    readonly schedulerTotalSteps: number | null;
  };

/**
 * The settings that decide what is computed, checked.
 *
 * @throws {ConfigError} when one has a value that cannot be used
 */
export function trainSettings(options: TrainOptions): TrainSettings {
  const settings = {
    speculatorType: options.speculatorType ?? "eagle3",
    epochs: options.epochs ?? 20,
    lr: options.lr ?? 1e-4,
    weightDecay: options.weightDecay ?? 0.01,
    totalSeqLen: options.totalSeqLen ?? 8192,
    trainDataRatio: options.trainDataRatio ?? 0.9,
    tttSteps: options.tttSteps ?? 3,
    tttStepLossDecay: options.tttStepLossDecay ?? 1,
    useOffPolicyTokens: options.useOffPolicyTokens ?? false,
    lossFn: options.lossFn ?? null,
    noiseStd: options.noiseStd ?? 0.05,
    seed: options.seed ?? 42,
    schedulerType: options.schedulerType ?? "linear",
    schedulerWarmupSteps: options.schedulerWarmupSteps ?? null,
    schedulerWarmupRatio: options.schedulerWarmupRatio ?? 0.01,
    schedulerTotalSteps: options.schedulerTotalSteps ?? null,
    schedulerNumCosineCycles: options.schedulerNumCosineCycles ?? 0.5,
    maxGradNorm: options.maxGradNorm ?? 1,
    dtype: options.dtype ?? "f32",
    draft: options.draft ?? {},
  };
  for (const name of ["lr", "totalSeqLen", "tttSteps", "maxGradNorm", "epochs"] as const) {
    check(settings[name] > 0, name, "a number above 0", settings[name]);
  }
  for (const name of ["noiseStd", "weightDecay", "tttStepLossDecay"] as const) {
    check(settings[name] >= 0, name, "0 or more", settings[name]);
  }
  for (const name of ["epochs", "totalSeqLen", "tttSteps", "seed"] as const) {
    check(Number.isSafeInteger(settings[name]), name, "a whole number", settings[name]);
  }
  for (const name of ["trainDataRatio", "schedulerWarmupRatio"] as const) {
    check(settings[name] >= 0 && settings[name] <= 1, name, "a share from 0 to 1", settings[name]);
  }
  check(
    SCHEDULES.includes(settings.schedulerType),
    "schedulerType",
    `one of ${SCHEDULES.join(", ")}`,
    settings.schedulerType,
  );
  check(["f32", "bf16"].includes(settings.dtype), "dtype", "f32 or bf16", settings.dtype);
  const limit = options.memoryLimit ?? Infinity;
  check(limit > 0, "memoryLimit", "a number of bytes above 0", limit);
  for (const name of ["maxSteps", "saveSteps", "keep", "logFreq"] as const) {
    const value = options[name] ?? 1;
    check(Number.isSafeInteger(value) && value > 0, name, "a whole number from 1 on", value);
  }
  const bad = options.maxBadSamples ?? 0, freq = options.checkpointFreq ?? 1;
  check(Number.isSafeInteger(bad) && bad >= 0, "maxBadSamples", "a whole number from 0 on", bad);
  check(
    freq > 0 && (freq < 1 || Number.isInteger(freq)),
    "checkpointFreq",
    "a share of an epoch or whole epochs",
    freq,
  );
  return settings;
}

function check(fits: boolean, name: string, expected: string, received: unknown): void {
  if (fits) return;
  throw new ConfigError(name, `expected ${expected}, received ${received}`);
}
