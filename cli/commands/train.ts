/** `train`: trains a speculator. */
import { train, type TrainOptions, type TrainResult } from "../../mod.ts";
import { type Command, Option } from "../_commander.ts";
import { type Context, follow, printJson, runtimeFor, type SharedFlags, sharedFlags } from "../context.ts";
import { decimal, given, whole } from "../numbers.ts";
import { type Output, style, table } from "../ui.ts";

interface Flags extends SharedFlags {
  readonly verifierNameOrPath: string;
  readonly speculatorType: string;
  readonly dataPath: string[];
  readonly valDataPath?: string[];
  readonly savePath: string;
  readonly epochs: number;
  readonly lr: number;
  readonly resumeFromCheckpoint: boolean;
  readonly totalSeqLen: number;
  readonly numLayers: number;
  readonly draftArch: string;
  readonly d2tPath?: string;
  readonly t2dPath?: string;
  readonly tttSteps: number;
  readonly tttStepLossDecay: number;
  readonly seed: number;
  readonly useOffPolicyTokens?: boolean;
  readonly normBeforeResidual: boolean;
  readonly embedRequiresGrad?: boolean;
  readonly noiseStd: number;
  readonly schedulerType: NonNullable<TrainOptions["schedulerType"]>;
  readonly schedulerWarmupSteps?: number;
  readonly schedulerTotalSteps?: number;
  readonly schedulerNumCosineCycles: number;
  readonly layerIds?: number[];
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  sharedFlags(command)
    .requiredOption("--verifier-name-or-path <folder>", "the verifier")
    .optionsGroup("Data and checkpoints:")
    .option("--data-path <folder...>", "samples made by datagen", ["./data"])
    .option("--val-data-path <folder...>", "samples to validate on (default: a tenth of the data)")
    .option("--save-path <folder>", "where checkpoints go", "./checkpoints")
    .option("--no-resume-from-checkpoint", "start anew even if there is a checkpoint")
    .option("--total-seq-len <n>", "tokens of a batch", whole(2), 8192)
    .optionsGroup("Draft model:")
    .option("--speculator-type <name>", "draft plugin", "eagle3")
    .option("--num-layers <n>", "decoder layers", whole(1), 1)
    .addOption(
      new Option("--draft-arch <kind>", "kind of the layers").choices(["llama", "qwen3"]).default("llama"),
    )
    .option("--d2t-path <file>", "d2t.npy of the draft vocabulary")
    .option("--t2d-path <file>", "t2d.npy of the draft vocabulary")
    .option("--layer-ids <id...>", "the verifier's states that the draft reads (id i enters layer i)", ids)
    .option("--norm-before-residual", "norm the hidden state before it becomes the residual", true)
    .option("--no-norm-before-residual", "norm it after")
    .option("--embed-requires-grad", "train the embedding too")
    .optionsGroup("Objective:")
    .option("--ttt-steps <n>", "steps of test-time training", whole(1), 3)
    .option("--ttt-step-loss-decay <x>", "factor of the loss from step to step", decimal(0), 1)
    .option("--use-off-policy-tokens", "feed the true tokens to later steps")
    .option("--noise-std <x>", "uniform noise on the states", decimal(0), 0.05)
    .optionsGroup("Optimisation:")
    .option("--epochs <n>", "passes over the data", whole(1), 20)
    .option("--lr <x>", "learning rate", decimal(0, { open: true }), 1e-4)
    .option("--seed <n>", "seed of weights and noise", whole(), 42)
    .addOption(
      new Option("--scheduler-type <kind>", "course of the learning rate")
        .choices(["linear", "cosine", "constant", "none"]).default("linear"),
    )
    .option("--scheduler-warmup-steps <n>", "steps of warm-up (default: 1 % of all)", whole())
    .option("--scheduler-total-steps <n>", "all steps of the schedule (default: those of the run)", whole(1))
    .option("--scheduler-num-cosine-cycles <x>", "waves of the cosine", decimal(0), 0.5)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts train --verifier-name-or-path M --data-path data --save-path checkpoints \\
    --d2t-path vocab/d2t.npy --t2d-path vocab/t2d.npy --epochs 3 --lr 1e-3
Stopped at any point, the same command goes on from the last epoch.
`,
    )
    .action(async (flags: Flags) => {
      const result = await follow(train(optionsOf(flags), await runtimeFor(flags, context)), flags, context);
      if (flags.json) return printJson(context, result);
      printTraining(context.out, result);
      context.out.write(`Checkpoint: ${result.checkpoint}\n`);
    });
}

function ids(value: string, before: number[] | undefined): number[] {
  return [...before ?? [], whole()(value)];
}

function optionsOf(flags: Flags): TrainOptions {
  const { numLayers, draftArch, layerIds, normBeforeResidual, embedRequiresGrad, resumeFromCheckpoint } =
    flags;
  const { verifierNameOrPath, dataPath, savePath, valDataPath, speculatorType, epochs, lr, totalSeqLen } =
    flags;
  const { d2tPath, t2dPath, tttSteps, tttStepLossDecay, useOffPolicyTokens, noiseStd, seed, schedulerType } =
    flags;
  const { schedulerWarmupSteps, schedulerTotalSteps, schedulerNumCosineCycles } = flags;
  return {
    verifierNameOrPath,
    dataPath,
    savePath,
    resume: resumeFromCheckpoint,
    draft: given({ numLayers, draftArch, layerIds, normBeforeResidual, embedRequiresGrad }),
    ...given({
      valDataPath,
      speculatorType,
      epochs,
      lr,
      totalSeqLen,
      d2tPath,
      t2dPath,
      tttSteps,
      tttStepLossDecay,
    }),
    ...given({
      useOffPolicyTokens,
      noiseStd,
      seed,
      schedulerType,
      schedulerWarmupSteps,
      schedulerTotalSteps,
    }),
    schedulerNumCosineCycles,
  };
}

/** Prints a run's last validation. */
export function printTraining(out: Output, result: TrainResult): void {
  const metrics = result.validation ?? {};
  const steps = Object.keys(metrics).filter((name) => /^loss_\d+$/.test(name)).map((name) => name.slice(5));
  if (steps.length > 0) {
    const rows = steps.map((i) => [
      i,
      ...["loss", "full_acc", "cond_acc"].map((name) => (metrics[`${name}_${i}`] ?? NaN).toFixed(4)),
    ]);
    out.write(
      style(out, "bold", "Validation by TTT step\n") +
        table([["step", "loss", "accuracy", "given the one before"], ...rows]),
    );
  }
  const rate = result.seconds > 0 ? result.tokens / result.seconds : 0;
  out.write(
    `${result.steps} steps, ${result.tokens} tokens in ${result.seconds.toFixed(1)} s, ${
      rate.toFixed(0)
    } tokens/s\n`,
  );
}
