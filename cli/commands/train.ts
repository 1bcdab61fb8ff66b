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
import { byteCount, decimal, given, whole, wholes } from "../numbers.ts";
import { type Output, style, table } from "../ui.ts";
import { watched } from "../watch.ts";

interface Flags extends SharedFlags, Omit<TrainOptions, "resume" | "draft" | "command"> {
  readonly resumeFromCheckpoint: boolean;
  readonly numLayers: number;
  readonly draftArch?: string;
  readonly layerIds?: number[];
  readonly normBeforeResidual: boolean;
  readonly embedRequiresGrad?: boolean;
  readonly set?: Readonly<Record<string, unknown>>;
  readonly saveBest?: boolean;
  readonly dataFormatVersion?: string;
  readonly optimizer?: string;
  readonly verbose?: boolean;
  readonly logger: readonly string[];
  readonly logDir: string;
  readonly runName?: string;
  readonly dashboard?: number | true;
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  requiredFlags(command, [["--verifier-name-or-path <folder>", "the verifier"]])
    .description(
      "Trains a speculator on the samples of datagen; after each epoch it validates and keeps a checkpoint.",
    )
    .optionsGroup("Data:")
    .option("--data-path <folder...>", "samples made by datagen", ["./data"])
    .option("--val-data-path <folder...>", "samples to validate on (default: what --train-data-ratio leaves)")
    .option("--train-data-ratio <x>", "share of the data that is trained on", decimal(0, { max: 1 }), 0.9)
    .option("--total-seq-len <n>", "tokens of a batch", whole(2), 8192)
    .addOption(
      new Option("--data-format-version <n>", "layout of the samples, which is found out anyway").choices([
        "1",
      ]),
    )
    .option("--max-bad-samples <n>", "corrupt samples that are named and left out", whole(), 0)
    .optionsGroup("Checkpoints:")
    .option("--save-path <folder>", "where checkpoints go", "./checkpoints")
    .option("--save-steps <n>", "steps between checkpoints within an epoch (default: none)", whole(1))
    .option("--checkpoint-freq <x>", "epochs between checkpoints; a share of one below 1", frequency, 1)
    .option("--keep <n>", "how many of the newest stay, besides the best (default: all)", whole(1))
    .option("--save-best", "keep the best and the newest alone: --keep 1")
    .option("--no-resume-from-checkpoint", "start anew; checkpoints that are there are set aside")
    .option("--from-pretrained <folder>", "begin with this speculator's weights, or with its config alone")
    .optionsGroup("Draft model:")
    .option("--speculator-type <name>", "draft plugin", "eagle3")
    .option("--num-layers <n>", "decoder layers", whole(1), 1)
    .addOption(alias("--target-layer-ids <id...>", "layerIds").argParser(wholes))
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
    .option("--max-steps <n>", "stop after so many steps", whole(1))
    .addOption(
      new Option("--optimizer <name>", "what changes the weights").choices(["adamw"]).default("adamw"),
    )
    .option("--lr <x>", "learning rate", decimal(0, { open: true }), 1e-4)
    .option("--weight-decay <x>", "decay of the weights", decimal(0), 0.01)
    .option("--max-grad-norm <x>", "gradients are scaled down to this norm", decimal(0, { open: true }), 1)
    .option("--skip-bad-batches", "leave out batches whose loss is not finite, instead of stopping")
    .addOption(
      new Option("--dtype <type>", "what weights are computed with; they are kept in f32 always")
        .choices(["f32", "bf16"]).default("f32"),
    )
    .option(
      "--memory-limit <bytes>",
      "device memory of a step, as in 2GB: beyond it parts are computed again",
      byteCount,
    )
    .option("--seed <n>", "seed of weights and noise", whole(), 42)
    .addOption(
      new Option("--scheduler-type <kind>", "course of the learning rate")
        .choices(["linear", "cosine", "constant", "none"]).default("linear"),
    )
    .option(
      "--scheduler-warmup-steps <n>",
      "steps of warm-up (default: by --scheduler-warmup-ratio)",
      whole(),
    )
    .option("--scheduler-warmup-ratio <x>", "share of all steps", decimal(0, { max: 1 }), 0.01)
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
  A long run, with a checkpoint every 500 steps, and the three newest and the best kept:
    … --save-steps 500 --keep 3 --max-bad-samples 10 --skip-bad-batches --dashboard
  A speculator trained further on other data:
    … --from-pretrained speculator --data-path more-data --save-path more-checkpoints --lr 2e-5
Stopped or killed at any point, the same command goes on from the newest checkpoint, to the same weights.
`,
    )
    .action(async (flags: Flags) => {
      const options = optionsOf(flags, typed(command)), runtime = await runtimeFor(flags, context);
      const name = flags.runName ?? basename(resolve(flags.savePath)), folder = join(flags.logDir, name);
      const run = { name, folder, settings: { ...options } };
      const watching = { run, loggers: flags.logger, savePath: flags.savePath, dashboard: flags.dashboard };
      const result = await follow(watched(train(options, runtime), watching, runtime), flags, context);
      if (flags.json) return printJson(context, result);
      printTraining(context.out, result);
      context.out.write(`Checkpoint: ${result.checkpoint}\n`);
    });
}

/** What was typed. */
function typed(command: Command): string {
  const { rawArgs = [] } = command.parent as unknown as { rawArgs?: readonly string[] };
  return rawArgs.join(" ");
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

function optionsOf(flags: Flags, typed: string): TrainOptions {
  const { numLayers, draftArch, layerIds, normBeforeResidual, embedRequiresGrad, set: extra } = flags;
  const { resumeFromCheckpoint: resume, saveBest, keep = saveBest ? 1 : undefined } = flags;
  const { verifierNameOrPath, dataPath, savePath, valDataPath, speculatorType, epochs, lr, totalSeqLen } =
    flags;
  const { d2tPath, t2dPath, tttSteps, tttStepLossDecay, useOffPolicyTokens, lossFn, noiseStd, seed } = flags;
  const { schedulerType, schedulerWarmupSteps, schedulerWarmupRatio, schedulerTotalSteps } = flags;
  const { schedulerNumCosineCycles, maxGradNorm, weightDecay, maxSteps, fromPretrained, trainDataRatio } =
    flags;
  const { logFreq, saveSteps, checkpointFreq, maxBadSamples, skipBadBatches } = flags;
  const draft = given({ numLayers, draftArch, layerIds, normBeforeResidual, embedRequiresGrad, extra });
  return {
    ...{ verifierNameOrPath, dataPath, savePath, resume, draft, command: typed },
    ...given({ valDataPath, speculatorType, epochs, lr, totalSeqLen, d2tPath, t2dPath, tttSteps }),
    ...given({ tttStepLossDecay, useOffPolicyTokens, lossFn, noiseStd, seed, schedulerType }),
    ...given({ schedulerWarmupSteps, schedulerWarmupRatio, schedulerTotalSteps, schedulerNumCosineCycles }),
    ...given({ maxGradNorm, weightDecay, maxSteps, fromPretrained, trainDataRatio, logFreq, saveSteps }),
    ...given({ checkpointFreq, keep, maxBadSamples, skipBadBatches }),
    ...given({ dtype: flags.dtype, memoryLimit: flags.memoryLimit }),
  };
}

/** Another name of a flag, which the help does not list. */
function alias(flags: string, attribute: string): Option {
  const option = new Option(flags).hideHelp();
  option.attributeName = () => attribute;
  return option;
}

/** Whole epochs, or a share of one. */
function frequency(value: string): number {
  const n = decimal(0, { open: true })(value);
  return n < 1 ? n : whole(1)(value);
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
