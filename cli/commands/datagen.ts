/** `datagen`: conversations to training samples. */
import { datagen, type DatagenOptions, inspectSamples, writeFileAtomic } from "../../mod.ts";
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
import { samplesPage, showSamples } from "../samples.ts";
import { defineMerge } from "./datagen_merge.ts";

interface Flags extends SharedFlags {
  readonly targetModelPath: string;
  readonly trainDataPath: string[];
  readonly outputDir: string;
  readonly seqLength: number;
  readonly maxSamples?: number;
  readonly tokenFreqPath?: string;
  readonly hfCacheDir?: string;
  readonly assistantPattern?: string;
  readonly turnDropout?: boolean;
  readonly layerIds?: number[];
  readonly batchTokens?: number;
  readonly batchSize?: number;
  readonly seed: number;
  readonly numPreprocessingWorkers?: number;
  readonly startIdx: number;
  readonly dtype?: NonNullable<DatagenOptions["dtype"]>;
  readonly format?: NonNullable<DatagenOptions["format"]>;
  readonly compress?: NonNullable<DatagenOptions["compress"]>;
  readonly keepLayers?: number[];
  readonly strictUpstream?: boolean;
  readonly shard?: NonNullable<DatagenOptions["shard"]>;
  readonly yes?: boolean;
  readonly inspectSamples?: number;
  readonly html?: string;
  readonly engine: string;
  readonly endpoint?: string;
  readonly tensorParallelSize?: number;
  readonly gpuMemoryUtilization?: number;
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  // Looked at before the flags that must be given: a look at samples writes none.
  command.hook("preAction", () => {
    const looks = command.getOptionValue("inspectSamples") !== undefined;
    if (looks && command.getOptionValue("outputDir") === undefined) command.setOptionValue("outputDir", "");
  });
  requiredFlags(command, [
    ["--target-model-path <folder>", "the verifier"],
    [
      "--train-data-path <data...>",
      "conversations: files or folders of JSONL, JSON, Parquet; organisation/name:config:split of the hub; sharegpt; " +
      "ultrachat. With weights (a.jsonl=2 b.jsonl=1) they are mixed",
    ],
    ["--output-dir <folder>", "where samples go"],
  ])
    .description(
      "Makes training samples: conversations are rendered and tokenised, the verifier runs over them, and the hidden " +
        "states that a draft learns from are kept, with the frequencies of the tokens that are trained on.",
    )
    .option("--seq-length <n>", "most tokens of a sample", whole(2), 2048)
    .option("--max-samples <n>", "most conversations", whole(1))
    .option(
      "--token-freq-path <file>",
      "where the frequencies of trained tokens go (default: ./token_freq.pt; of a shard, beside its folder)",
    )
    .option("--hf-cache-dir <folder>", "where data sets of the hub are kept (default: the hub's own cache)")
    .option(
      "--assistant-pattern <regex>",
      "group 1 is the assistant's part (default: found from the chat template)",
    )
    .option("--turn-dropout", "keep a random number of turns of each conversation")
    .option("--layer-ids <id...>", "states kept; id i enters layer i (default: 2, n/2, n-3, n)", wholes)
    .option(
      "--keep-layers <id...>",
      "those of --layer-ids that are written; the last state always is (default: all)",
      wholes,
    )
    .option("--batch-tokens <n>", "tokens that the verifier works on at once (default: 2048)", whole(1))
    .option(
      "--batch-size <n>",
      "samples that it works on at once (default: as --batch-tokens has it)",
      whole(1),
    )
    .option("--seed <n>", "seed of the order", whole(), 0)
    .option("--start-idx <n>", "make samples from this number on", whole(), 0)
    .option(
      "--num-preprocessing-workers <n>",
      "threads that tokenise (default: as many as the machine has to spare, at most 4; none for few records)",
      whole(),
    )
    .addOption(
      new Option("--dtype <type>", "element type of the states (default: the model's)").choices([
        "bf16",
        "f16",
        "f32",
      ]),
    )
    .addOption(
      new Option("--format <ending>", "format of samples (default: that of those already there, else pt)")
        .choices(["pt", "safetensors"]),
    )
    .addOption(
      new Option(
        "--compress <how>",
        "pack pt files; torch.load takes deflate, but not with mmap=True, as the Python system's trainer reads (default: none)",
      ).choices(["none", "deflate"]),
    )
    .option(
      "--strict-upstream",
      "train on just the tokens that the Python system does, its mistakes included",
    )
    .option("--shard <i/n>", "make the i-th of n parts; datagen merge puts them together", shardOf)
    .option("--yes", "begin though the disk has too little room")
    .option("--inspect-samples <n>", "show n samples, the trained tokens in colour, and make none", whole(1))
    .option("--html <file>", "write them as a page instead")
    .option("--engine <name>", "engine plugin that runs the verifier", "local")
    .option("--endpoint <url>", "address of the engine's server")
    .option("--tensor-parallel-size <n>", "devices that the server spreads a layer over; recorded", whole(1))
    .option(
      "--gpu-memory-utilization <share>",
      "share of a device's memory that the server takes; recorded",
      decimal(0, { max: 1, open: true }),
    );
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts datagen --target-model-path examples/assets/tiny-verifier \\
    --train-data-path examples/assets/tiny-verifier/dialogues.train.jsonl --output-dir out/data
  deno run -A cli/main.ts datagen --target-model-path M --train-data-path chats.jsonl --inspect-samples 3
  deno run -A cli/main.ts datagen merge --output-dir out/data out/part-1 out/part-2
Stopped at any point, the same command goes on where it was.
`,
    )
    .action(async (flags: Flags) => {
      if (flags.inspectSamples !== undefined) return await look(flags, flags.inspectSamples, context);
      const {
        batchSize,
        batchTokens,
        compress,
        dtype,
        endpoint,
        engine,
        format,
        keepLayers,
        layerIds,
        startIdx,
        tokenFreqPath,
        yes,
      } = flags;
      const { gpuMemoryUtilization, outputDir, targetModelPath, tensorParallelSize } = flags;
      const options: DatagenOptions = {
        ...recordOptions(flags),
        targetModelPath,
        outputDir,
        command: commandLine(command),
        ...given({
          batchSize,
          batchTokens,
          compress,
          dtype,
          endpoint,
          engine,
          format,
          keepLayers,
          layerIds,
          startIdx,
          tokenFreqPath,
          yes,
        }),
        ...given({ gpuMemoryUtilization, tensorParallelSize }),
      };
      const result = await follow(datagen(options, await runtimeFor(flags, context)), flags, context);
      if (flags.json) return printJson(context, result);
      context.out.write(
        `${result.samples} samples in ${result.folder}, ${result.fresh} of them new; ` +
          `${result.tokens} tokens, ${result.trainedTokens} trained on\n`,
      );
    });
  defineMerge(command, context);
}

function recordOptions(flags: Flags) {
  const { assistantPattern, hfCacheDir, maxSamples, seed, seqLength, shard, strictUpstream, trainDataPath } =
    flags;
  return {
    trainDataPath,
    ...given({ assistantPattern, hfCacheDir, maxSamples, seed, seqLength, shard, strictUpstream }),
    ...given({ turnDropout: flags.turnDropout, numPreprocessingWorkers: flags.numPreprocessingWorkers }),
  };
}

async function look(flags: Flags, count: number, context: Context): Promise<void> {
  const options = { ...recordOptions(flags), targetModelPath: flags.targetModelPath, count };
  const result = await follow(inspectSamples(options, context), { quiet: true }, context);
  if (flags.html !== undefined) await writeFileAtomic(flags.html, samplesPage(result, flags.targetModelPath));
  if (flags.json) return printJson(context, result);
  if (flags.html === undefined) showSamples(result, context.out);
  else context.out.write(`${result.samples.length} samples in ${flags.html}\n`);
}

/** `2/4`: the second of four. */
function shardOf(text: string): { index: number; count: number } {
  const [, part, count] = /^(\d{1,9})\/(\d{1,9})$/.exec(text) ?? [];
  if (Number(part) >= 1 && Number(part) <= Number(count)) {
    return { index: Number(part) - 1, count: Number(count) };
  }
  throw new InvalidArgumentError(`expected a part and their number, as in 2/4, received "${text}"`);
}

/** What was typed, without passwords of addresses. */
function commandLine(command: Command): string {
  const { rawArgs = [] } = command.parent as unknown as { rawArgs?: readonly string[] };
  return rawArgs.map((arg) => arg.replace(/\/\/[^/@]*@/, "//")).join(" ");
}
