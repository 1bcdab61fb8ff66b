/** `datagen`: conversations to training samples. */
import { datagen, type DatagenOptions } from "../../mod.ts";
import { type Command, Option } from "../_commander.ts";
import {
  type Context,
  follow,
  printJson,
  requiredFlags,
  runtimeFor,
  type SharedFlags,
  sharedFlags,
} from "../context.ts";
import { given, whole, wholes } from "../numbers.ts";

interface Flags extends SharedFlags {
  readonly targetModelPath: string;
  readonly trainDataPath: string[];
  readonly outputDir: string;
  readonly seqLength: number;
  readonly maxSamples?: number;
  readonly tokenFreqPath: string;
  readonly assistantPattern?: string;
  readonly turnDropout?: boolean;
  readonly layerIds?: number[];
  readonly batchTokens: number;
  readonly seed: number;
  readonly dtype?: NonNullable<DatagenOptions["dtype"]>;
  readonly format?: NonNullable<DatagenOptions["format"]>;
  readonly engine: string;
  readonly endpoint?: string;
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  requiredFlags(command, [
    ["--target-model-path <folder>", "the verifier"],
    ["--train-data-path <file...>", "conversations: JSONL or JSON, files or folders"],
    ["--output-dir <folder>", "where samples go"],
  ])
    .description(
      "Makes training samples: conversations are rendered and tokenised, the verifier runs over them, and the hidden " +
        "states that a draft learns from are kept, with the frequencies of the tokens that are trained on.",
    )
    .option("--seq-length <n>", "most tokens of a sample", whole(2), 2048)
    .option("--max-samples <n>", "most conversations", whole(1))
    .option("--token-freq-path <file>", "where the frequencies of trained tokens go", "./token_freq.pt")
    .option(
      "--assistant-pattern <regex>",
      "group 1 is the assistant's part (default: found from the chat template)",
    )
    .option("--turn-dropout", "keep a random number of turns of each conversation")
    .option("--layer-ids <id...>", "states kept; id i enters layer i (default: 2, n/2, n-3, n)", wholes)
    .option("--batch-tokens <n>", "tokens that the verifier works on at once", whole(1), 2048)
    .option("--seed <n>", "seed of the order", whole(), 0)
    .addOption(
      new Option("--dtype <type>", "element type of the states (default: the model's)").choices([
        "bf16",
        "f16",
        "f32",
      ]),
    )
    .addOption(
      new Option("--format <ending>", "format of samples (default: that of those already there)")
        .choices(["pt", "safetensors"]),
    )
    .option("--engine <name>", "engine plugin that runs the verifier", "local")
    .option("--endpoint <url>", "address of the engine's server");
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts datagen --target-model-path examples/assets/tiny-verifier \\
    --train-data-path examples/assets/tiny-verifier/dialogues.train.jsonl --output-dir out/data
Stopped at any point, the same command goes on where it was.
`,
    )
    .action(async (flags: Flags) => {
      const { targetModelPath, trainDataPath, outputDir, seqLength, maxSamples, tokenFreqPath } = flags;
      const { assistantPattern, turnDropout, layerIds, batchTokens, seed, dtype, format, engine, endpoint } =
        flags;
      const options: DatagenOptions = {
        targetModelPath,
        trainDataPath,
        outputDir,
        ...given({
          seqLength,
          maxSamples,
          tokenFreqPath,
          assistantPattern,
          turnDropout,
          layerIds,
          batchTokens,
          seed,
        }),
        ...given({ dtype, format, engine, endpoint }),
      };
      const result = await follow(datagen(options, await runtimeFor(flags, context)), flags, context);
      if (flags.json) return printJson(context, result);
      context.out.write(
        `${result.samples} samples in ${result.folder}, ${result.fresh} of them new; ` +
          `${result.tokens} tokens, ${result.trainedTokens} trained on\n`,
      );
    });
}
