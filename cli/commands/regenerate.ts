/** `regenerate`: the answers of a data set written anew by the verifier. */
import { ConfigError } from "../../core/errors.ts";
import { regenerate, type RegenerateOptions } from "../../mod.ts";
import type { Command } from "../_commander.ts";
import { type Context, follow, printJson, runtimeFor, type SharedFlags, sharedFlags } from "../context.ts";
import { decimal, given, whole } from "../numbers.ts";

interface Flags extends SharedFlags {
  readonly dataset: string[];
  readonly subset?: string;
  readonly split?: string;
  readonly endpoint?: string;
  readonly model?: string;
  readonly apiKeyEnv?: string;
  readonly verifierNameOrPath?: string;
  readonly speculator?: string;
  readonly numSpecTokens?: number;
  readonly concurrency?: number;
  readonly maxTokens: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly seed?: number;
  readonly limit?: number;
  readonly languageFilter?: string;
  readonly outfile?: string;
  readonly resume?: boolean;
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  command
    .description(
      "Writes the answers of conversations anew: by a server that speaks OpenAI's protocol, or by the verifier on this " +
        "machine. Each answer follows the new ones before it. Gives JSONL that datagen reads.",
    )
    .optionsGroup("Options:")
    .option(
      "--dataset <name...>",
      "conversations: files, folders, organisation/name:config:split, ultrachat, magpie, sharegpt",
      (value: string, before: string[] | undefined) =>
        before === undefined || before === DEFAULT_DATASET ? [value] : [...before, value],
      DEFAULT_DATASET,
    )
    .option("--split <name>", "split of a data set of the hub")
    .option("--subset <name>", "config of a data set of the hub")
    .option("--limit <n>", "most conversations, those already there counted", whole(1))
    .option("--language-filter <code>", 'only records whose "language" is this, such as EN')
    .option("--outfile <file>", "where conversations go, a line each (default: {dataset}_{model}.jsonl)")
    .option("--resume", "go on with a file that is there, without the conversations in it")
    .optionsGroup("By a server:")
    .option("--endpoint <url>", "its address (default: http://127.0.0.1:8000/v1/chat/completions)")
    .option("--model <name>", "model asked for (default: the server's first one)")
    .option("--api-key-env <variable>", "environment variable with the key that the server asks for")
    .optionsGroup("By this machine:")
    .option("-b, --verifier-name-or-path <folder>", "the verifier")
    .option("-s, --speculator <folder>", "a speculator, so that it writes faster")
    .option(
      "--num-spec-tokens <n>",
      "tokens proposed a round (default: what the speculator's config says)",
      whole(1),
    )
    .optionsGroup("Answers:")
    .option("--concurrency <n>", "answers under way at once (default: 64; 8 on this machine)", whole(1))
    .option("--max-tokens <n>", "most tokens of an answer", whole(1), 8192)
    .option("--temperature <t>", "0 is greedy (default: the server's choice; 0 on this machine)", decimal(0))
    .option("--top-p <p>", "share of the mass that is sampled from", decimal(0, { max: 1, open: true }))
    .option("--top-k <k>", "how many tokens are sampled from", whole(1))
    .option("--seed <n>", "seed of sampling", whole());
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts regenerate --dataset chats.jsonl --endpoint http://127.0.0.1:8000 --outfile new.jsonl
  deno run -A cli/main.ts regenerate -b examples/assets/tiny-verifier --max-tokens 64 --limit 20 \\
    --dataset examples/assets/tiny-verifier/dialogues.train.jsonl --outfile out/new.jsonl
Stopped at any point, the same command with --resume goes on where it was.
`,
    )
    .action(async (flags: Flags) => {
      const options = optionsOf(flags);
      const result = await follow(regenerate(options, await runtimeFor(flags, context)), flags, context);
      if (flags.json) return printJson(context, result);
      const length = result.acceptance?.mean_accepted_length;
      context.out.write(
        `${result.conversations} conversations in ${result.outfile}, ${result.fresh} of them new; ` +
          `${result.answers} answers, ${result.tokens} tokens` +
          `${length === undefined ? "" : `; mean accepted length ${length.toFixed(2)}`}\n`,
      );
    });
}

const DEFAULT_DATASET: string[] = ["ultrachat"];

function optionsOf(flags: Flags): RegenerateOptions {
  const { dataset, subset, split, endpoint, model, verifierNameOrPath, speculator, numSpecTokens } = flags;
  const { concurrency, maxTokens, temperature, topP, topK, seed, limit, languageFilter, outfile, resume } =
    flags;
  return {
    dataset,
    ...given({ subset, split, endpoint, model, verifierNameOrPath, speculator, numSpecTokens }),
    ...given({
      concurrency,
      maxTokens,
      temperature,
      topP,
      topK,
      seed,
      limit,
      languageFilter,
      outfile,
      resume,
    }),
    ...given({ apiKey: keyOf(flags.apiKeyEnv) }),
  };
}

/** The key in a variable that was named: none is sent to a server that it was not meant for. */
function keyOf(variable: string | undefined): string | undefined {
  if (variable === undefined) return undefined;
  const key = Deno.env.get(variable);
  if (key) return key;
  throw new ConfigError(
    "apiKeyEnv",
    `expected a variable with a key, received "${variable}", which is not set`,
    {
      hint: "Export it, or leave the flag out where the server asks for no key",
    },
  );
}
