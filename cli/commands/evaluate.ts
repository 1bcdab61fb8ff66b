/** `evaluate`: acceptance and speed of a speculator on prompts. */
import { basename } from "node:path";
import {
  evaluate,
  evaluateLog,
  evaluateServer,
  evaluationRun,
  type Found,
  requireWritable,
  type Runtime,
  writeResults,
} from "../../mod.ts";
import type { Command } from "../_commander.ts";
import { applySettings } from "../config_hook.ts";
import {
  type Context,
  follow,
  printJson,
  requiredFlags,
  runtimeFor,
  type SharedFlags,
  sharedFlags,
} from "../context.ts";
import { type DraftingFlags, draftingFlags, draftingOptions } from "../drafting_flags.ts";
import { evaluateServerFlags, type ServerFlags, serverOptions } from "../evaluate_server_flags.ts";
import { printEvaluation } from "../evaluation_table.ts";
import { decimal, given, whole } from "../numbers.ts";
import { defineCompare } from "./evaluate_compare.ts";

interface Flags extends SharedFlags, DraftingFlags, ServerFlags {
  readonly config?: string;
  readonly base?: string;
  readonly speculator?: string;
  readonly dataset?: string[];
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly seed: number;
  readonly limit?: number;
  readonly concurrency: number;
  readonly outputDir?: string;
  readonly name?: string;
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  command.hook("preAction", async (_, asked) => {
    const path = command.getOptionValue("config") as string | undefined;
    if (asked === command && path !== undefined) await applySettings(command, path);
  });
  requiredFlags(command, [
    ["-b, --base <folder>", "the verifier"],
    ["-s, --speculator <folder>", "the speculator"],
    [
      "-d, --dataset <file...>",
      "conversations or prompts: a file, a folder, folder:file, organisation/name[:file.jsonl|:config:split]; each is " +
      "measured on its own",
    ],
  ], (name) => {
    const { fromLog, endpoint } = command.opts();
    return fromLog === undefined && (endpoint === undefined || name === "dataset");
  })
    .description(
      "Decodes prompts with and without the speculator: how many proposed tokens are accepted at each position, how " +
        "fast both are, and whether the texts are the same. With --engine, a server writes them and counts.",
    )
    .option(
      "-c, --config <file>",
      "settings from a file: KEY=VALUE lines, YAML or JSON; flags go before them",
    )
    .option(
      "-o, --output-dir <folder>",
      "where results.json, CSV and report.html go (default: only the table)",
    )
    .option("--name <name>", "what comparisons call it (default: the speculator's folder)")
    .option("--max-tokens <n>", "most tokens written for a prompt", whole(1), 64)
    .option("--limit <n>", "most prompts of a data set", whole(1))
    .option("--concurrency <n>", "texts written at once; they do not depend on it", whole(1), 1)
    .optionsGroup("Sampling:")
    .option("--temperature <t>", "0 is greedy", decimal(0), 0)
    .option("--top-p <p>", "share of the mass that is sampled from", decimal(0, { max: 1, open: true }))
    .option("--top-k <k>", "how many tokens are sampled from", whole(1))
    .option("--seed <n>", "seed of sampling", whole(), 0)
    .optionsGroup("Drafting:");
  sharedFlags(evaluateServerFlags(draftingFlags(command)))
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts evaluate -b examples/assets/tiny-verifier -s out/demo/speculator \\
    -d examples/assets/tiny-verifier/dialogues.held-out.jsonl --limit 8
  deno run -A cli/main.ts evaluate -b M -s S -d prompts.jsonl --temperature 0.6 --top-p 0.95 --json
  deno run -A cli/main.ts evaluate -b M -s S -d math.jsonl -d code.jsonl -o out/evaluation
  deno run -A cli/main.ts evaluate -c qwen3-8b-eagle3.env -d organisation/benchmarks:qa.jsonl
  deno run -A cli/main.ts evaluate --engine vllm --endpoint http://127.0.0.1:8000 -d qa.jsonl --concurrency 8
  deno run -A cli/main.ts evaluate --engine vllm --launch --launch-plain -b M -s S -d qa.jsonl -o out/served
  deno run -A cli/main.ts evaluate --engine vllm --endpoint http://127.0.0.1:8000 -d qa.jsonl --sweep-rate 1,2,4
  deno run -A cli/main.ts evaluate --from-log vllm_server.log
  deno run -A cli/main.ts evaluate compare out/before out/after -o out/compared
`,
    )
    .action(async (flags: Flags) => {
      const runtime = await runtimeFor(flags, context);
      const folder = flags.outputDir ?? (flags.launch ? `eval_results_${stamp()}` : null);
      if (folder !== null) await requireWritable(folder); // before the work, which would be lost
      await conclude(await measured(flags, { runtime, context, folder }), { flags, context, folder });
    });
  defineCompare(command, context);
}

/** What an evaluation found, and by which engine and settings. */
interface Measured {
  readonly found: Found;
  readonly engine: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Evaluates where the flags say. */
async function measured(
  flags: Flags,
  { runtime, context, folder }: {
    readonly runtime: Runtime;
    readonly context: Context;
    readonly folder: string | null;
  },
): Promise<Measured> {
  const { base = "", speculator = "", dataset: data = [], fromLog, engine } = flags;
  if (fromLog !== undefined) {
    const found = await evaluateLog(
      { path: fromLog, engine: flags.engine === "local" ? "vllm" : engine },
      runtime,
    );
    return { found, engine, settings: { fromLog } };
  }
  const { maxTokens, temperature, topP, topK, seed, limit, concurrency } = flags;
  const rest = given({ maxTokens, temperature, topP, topK, seed, limit, concurrency });
  const settings = { data, ...rest, ...draftingOptions(flags) };
  const { acceptanceCounts } = await runtime.registry.get("engine", engine);
  if (!acceptanceCounts && flags.endpoint === undefined && !flags.launch) {
    const options = { base, speculator, data, ...rest, ...draftingOptions(flags) };
    return { found: await follow(evaluate(options, runtime), flags, context), engine, settings };
  }
  const asked = serverOptions(flags, folder ?? ".");
  const found = await follow(evaluateServer({ ...asked, data, ...rest }, runtime), flags, context);
  const { apiKey: _, ...told } = asked;
  return { found, engine, settings: { ...settings, ...told } };
}

/** Prints what was found, and writes it where that is asked for. */
async function conclude(
  { found, engine, settings }: Measured,
  { flags, context, folder }: {
    readonly flags: Flags;
    readonly context: Context;
    readonly folder: string | null;
  },
): Promise<void> {
  const { base = null, speculator = null } = flags;
  if (flags.json) printJson(context, found);
  else printEvaluation(context.out, found);
  if (folder === null) return;
  const name = flags.name ?? basename(speculator ?? base ?? engine);
  const paths = await writeResults(
    folder,
    evaluationRun(found, { name, engine, base, speculator, settings }),
  );
  if (!flags.json && !flags.quiet) context.err.write(paths.map((path) => `wrote ${path}\n`).join(""));
}

/** The time as upstream puts it into a folder's name. */
function stamp(): string {
  const now = new Date(), two = (n: number) => String(n).padStart(2, "0");
  return `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}_` +
    `${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
}
