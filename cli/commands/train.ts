/** `train`: trains a speculator. */
import { train, type TrainOptions, type TrainResult } from "../../mod.ts";
import { basename, join, resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "../_commander.ts";
import {
  type Context,
  follow,
  printJson,
  requiredFlags,
  runtimeFor,
  type SharedFlags,
  sharedFlags,
} from "../context.ts";
import { decimal, given, whole, wholes } from "../numbers.ts";
import { type Output, style, table } from "../ui.ts";
import { watched } from "../watch.ts";

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
  readonly draftArch?: string;
  readonly d2tPath?: string;
  readonly t2dPath?: string;
  readonly tttSteps: number;
  readonly tttStepLossDecay: number;
  readonly seed: number;
  readonly useOffPolicyTokens?: boolean;
  readonly lossFn?: string;
  readonly normBeforeResidual: boolean;
  readonly embedRequiresGrad?: boolean;
  readonly noiseStd: number;
  readonly schedulerType: NonNullable<TrainOptions["schedulerType"]>;
  readonly schedulerWarmupSteps?: number;
  readonly schedulerTotalSteps?: number;
  readonly schedulerNumCosineCycles: number;
  readonly layerIds?: number[];
  readonly set?: Readonly<Record<string, unknown>>;
  readonly logger: readonly string[];
  readonly logDir: string;
  readonly runName?: string;
  readonly dashboard?: number | true;
  readonly logFreq: number;
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  requiredFlags(command, [["--verifier-name-or-path <folder>", "the verifier"]])
    .description(
      "Trains a speculator on the samples of datagen; after each epoch it validates and keeps a checkpoint.",
    )
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
      new Option("--draft-arch <kind>", "kind of the layers (default: the draft plugin's)").choices([
        "llama",
        "qwen3",
      ]),
    )
    .option("--d2t-path <file>", "d2t.npy of the draft vocabulary")
    .option("--t2d-path <file>", "t2d.npy of the draft vocabulary")
    .option("--layer-ids <id...>", "the verifier's states that the draft reads (id i enters layer i)", wholes)
    .option("--norm-before-residual", "norm the hidden state before it becomes the residual", true)
    .option("--no-norm-before-residual", "norm it after")
    .option("--embed-requires-grad", "train the embedding too")
    .option("--no-embed-requires-grad", "take it from the verifier as it is (default)")
    .option("--set <name=value...>", "what only this draft plugin knows", settings)
    .optionsGroup("Objective:")
    .option("--ttt-steps <n>", "steps of test-time training", whole(1), 3)
    .option("--ttt-step-loss-decay <x>", "factor of the loss from step to step", decimal(0), 1)
    .option("--use-off-policy-tokens", "feed the true tokens to later steps")
    .option("--loss-fn <name>", "loss plugin, or weights of several as JSON (default: the draft's own)")
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
    .optionsGroup("Logging:")
    .addOption(
      new Option("--logger <names>", "logger plugins, with commas between").default([], "none").argParser(
        listOf,
      ),
    )
    .option("--log-dir <folder>", "where logs go, each run in a folder of its own", "./logs")
    .option("--log-freq <n>", "steps from one line of the log to the next", whole(1), 1)
    .option("--run-name <name>", "name of the run (default: the last part of --save-path)")
    .option("--dashboard [port]", "show the curves on a page of this machine while it runs", whole());
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts train --verifier-name-or-path M --data-path data --save-path checkpoints \\
    --d2t-path vocab/d2t.npy --t2d-path vocab/t2d.npy --epochs 3 --lr 1e-3 --logger jsonl
Stopped at any point, the same command goes on from the last epoch.
`,
    )
    .action(async (flags: Flags) => {
      const options = optionsOf(flags), runtime = await runtimeFor(flags, context);
      const name = flags.runName ?? basename(resolve(flags.savePath)), folder = join(flags.logDir, name);
      const run = { name, folder, settings: { ...options } };
      const watching = { run, loggers: flags.logger, savePath: flags.savePath, dashboard: flags.dashboard };
      const result = await follow(watched(train(options, runtime), watching, runtime), flags, context);
      if (flags.json) return printJson(context, result);
      printTraining(context.out, result);
      context.out.write(`Checkpoint: ${result.checkpoint}\n`);
    });
}

function listOf(value: string): string[] {
  return value.split(",").map((name) => name.trim()).filter((name) => name !== "");
}

/** `name=value` given one after the other; a value is JSON where it can be read so, else text. */
function settings(
  value: string,
  before: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  const at = value.indexOf("="), name = value.slice(0, at).trim(), text = value.slice(at + 1);
  if (at < 1 || name === "") throw new InvalidArgumentError(`expected name=value, received "${value}"`);
  return { ...before, [name]: parsed(text) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function optionsOf(flags: Flags): TrainOptions {
  const { numLayers, draftArch, layerIds, normBeforeResidual, embedRequiresGrad, resumeFromCheckpoint } =
    flags;
  const { verifierNameOrPath, dataPath, savePath, valDataPath, speculatorType, epochs, lr, totalSeqLen } =
    flags;
  const {
    d2tPath,
    t2dPath,
    tttSteps,
    tttStepLossDecay,
    useOffPolicyTokens,
    lossFn,
    noiseStd,
    seed,
    schedulerType,
  } = flags;
  const { set: extra } = flags;
  const { schedulerWarmupSteps, schedulerTotalSteps, schedulerNumCosineCycles } = flags;
  return {
    verifierNameOrPath,
    dataPath,
    savePath,
    logFreq: flags.logFreq,
    resume: resumeFromCheckpoint,
    draft: given({ numLayers, draftArch, layerIds, normBeforeResidual, embedRequiresGrad, extra }),
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
      lossFn,
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
