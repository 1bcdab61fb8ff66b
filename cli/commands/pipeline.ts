/** `pipeline`: text to an evaluated speculator in one run. */
import {
  ConfigError,
  mergeSettings,
  pipeline,
  PIPELINE_STAGES,
  type PipelineSettings,
  type PipelineStage,
  readPipelineFile,
  stageSettings,
} from "../../mod.ts";
import { type Command, CommanderError, InvalidArgumentError } from "../_commander.ts";
import { type Context, follow, printJson, runtimeFor, type SharedFlags, sharedFlags } from "../context.ts";
import { decimal, given, whole } from "../numbers.ts";
import { watched } from "../watch.ts";
import { printEvaluation } from "../evaluation_table.ts";
import { printTraining } from "./train.ts";

interface Flags extends SharedFlags {
  readonly config?: string;
  readonly verifierNameOrPath?: string;
  readonly outputDir?: string;
  readonly trainDataPath?: string[];
  readonly valDataPath?: string[];
  readonly maxSamples?: number;
  readonly seqLength?: number;
  readonly draftVocabSize?: number;
  readonly speculatorType?: string;
  readonly epochs?: number;
  readonly lr?: number;
  readonly totalSeqLen?: number;
  readonly evalData?: string[];
  readonly limit?: number;
  readonly set?: PipelineSettings;
  readonly logger?: readonly string[];
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  command.description(
    "Runs datagen, vocab-map, train and evaluate one after the other; what is finished is not done again.",
  )
    .option("--config <file>", "settings as YAML or JSON; flags go before them")
    .option("--verifier-name-or-path <folder>", "the verifier")
    .option("--output-dir <folder>", "where everything goes")
    .optionsGroup("Stages:")
    .option("--train-data-path <path...>", "conversations to train on")
    .option("--val-data-path <path...>", "conversations to validate on (default: a tenth of the others)")
    .option("--seq-length <n>", "most tokens of a sample", whole(2))
    .option("--max-samples <n>", "most samples", whole(1))
    .option("--draft-vocab-size <n>", "entries of the draft vocabulary (default: the verifier's)", whole(1))
    .option("--speculator-type <name>", "draft plugin")
    .option("--epochs <n>", "passes over the data", whole(1))
    .option("--lr <x>", "learning rate", decimal(0, { open: true }))
    .option("--total-seq-len <n>", "tokens of a batch", whole(2))
    .option("--eval-data <path...>", "conversations to evaluate on (default: no evaluation)")
    .option("--limit <n>", "prompts to evaluate on", whole(1))
    .option("--set <stage.name=value...>", "any other setting of a stage", oneSetting)
    .option("--logger <name...>", "logger plugins");
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts pipeline --verifier-name-or-path M --output-dir out/run \\\\
    --train-data-path chats.jsonl --draft-vocab-size 8192 --eval-data held-out.jsonl
  deno run -A cli/main.ts pipeline --config run.yaml --lr 1e-3 --set train.saveSteps=500

A file:
  verifier-name-or-path: M
  output-dir: out/run
  datagen: { train-data-path: [chats.jsonl], seq-length: 2048 }
  vocab-map: { draft-vocab-size: 8192 }
  train: { epochs: 3, lr: 1.0e-3, save-steps: 500, draft: { numLayers: 1 } }
  evaluate: { data: [held-out.jsonl], limit: 32 }
`,
    )
    .action(async (flags: Flags) => {
      const file = flags.config ? await readPipelineFile(flags.config) : { stages: none() };
      const verifierNameOrPath = flags.verifierNameOrPath ?? file.verifierNameOrPath;
      const outputDir = flags.outputDir ?? file.outputDir;
      if (!verifierNameOrPath || !outputDir) {
        const missing = [
          verifierNameOrPath ? [] : ["--verifier-name-or-path"],
          outputDir ? [] : ["--output-dir"],
        ];
        const message = `Cannot run "pipeline": expected ${missing.flat().join(" and ")}, received none`;
        throw new CommanderError(2, "required", message);
      }
      const stages = mergeSettings(settingsOf(flags), file.stages),
        runtime = await runtimeFor(flags, context);
      const { rawArgs = [] } = command.parent as unknown as { rawArgs?: readonly string[] };
      const options = { verifierNameOrPath, outputDir, stages, command: rawArgs.join(" ") };
      const run = { name: "pipeline", folder: outputDir, settings: { verifierNameOrPath, ...stages } };
      const watching = { run, loggers: flags.logger ?? [], savePath: outputDir };
      const result = await follow(watched(pipeline(options, runtime), watching, runtime), flags, context);
      if (flags.json) return printJson(context, result);
      printTraining(context.out, result.train);
      if (result.evaluate) printEvaluation(context.out, result.evaluate);
      context.out.write(`Speculator: ${result.train.best ?? result.train.checkpoint}\n`);
    });
}

function none(): PipelineSettings {
  return { datagen: {}, vocabMap: {}, train: {}, evaluate: {} };
}

function settingsOf(flags: Flags): PipelineSettings {
  const { trainDataPath, valDataPath, seqLength, maxSamples } = flags;
  const { draftVocabSize, speculatorType, epochs, lr, totalSeqLen } = flags;
  const named: PipelineSettings = {
    datagen: given({ trainDataPath, valDataPath, seqLength, maxSamples }),
    vocabMap: given({ draftVocabSize }),
    train: given({ speculatorType, epochs, lr, totalSeqLen }),
    evaluate: given({ data: flags.evalData, limit: flags.limit }),
  };
  return mergeSettings(named, flags.set ?? none());
}

/** `train.lr=1e-3`, one after the other; a value is JSON where it can be read so, else text. */
function oneSetting(text: string, before: PipelineSettings = none()): PipelineSettings {
  const [, prefix = "", name = "", value = ""] = /^([\w-]+)\.([\w-]+)=(.*)$/s.exec(text) ?? [];
  const stage = prefix.replace("vocab-map", "vocabMap") as PipelineStage;
  if (!PIPELINE_STAGES.includes(stage)) {
    throw new InvalidArgumentError(
      `expected stage.name=value with one of ${PIPELINE_STAGES.join(", ")}, received "${text}"`,
    );
  }
  let parsed: unknown = value;
  try {
    parsed = JSON.parse(value);
  } catch { /* a text */ }
  try {
    return mergeSettings({ ...none(), [stage]: stageSettings(stage, { [name]: parsed }, "--set") }, before);
  } catch (error) {
    if (error instanceof ConfigError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}
