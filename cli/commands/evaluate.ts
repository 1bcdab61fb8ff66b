/** `evaluate`: acceptance and speed of a speculator on prompts. */
import { basename } from "node:path";
import { evaluate, type EvaluateOptions, evaluationRun, type Found, writeResults } from "../../mod.ts";
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
import { printEvaluation } from "../evaluation_table.ts";
import { decimal, given, whole } from "../numbers.ts";
import { defineCompare } from "./evaluate_compare.ts";

interface Flags extends SharedFlags, DraftingFlags {
  readonly config?: string;
  readonly base: string;
  readonly speculator: string;
  readonly dataset: string[];
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
  ])
    .description(
      "Decodes prompts with and without the speculator: how many proposed tokens are accepted at each position, how " +
        "fast both are, and whether the texts are the same.",
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
  sharedFlags(draftingFlags(command))
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts evaluate -b examples/assets/tiny-verifier -s out/demo/speculator \\
    -d examples/assets/tiny-verifier/dialogues.held-out.jsonl --limit 8
  deno run -A cli/main.ts evaluate -b M -s S -d prompts.jsonl --temperature 0.6 --top-p 0.95 --json
  deno run -A cli/main.ts evaluate -b M -s S -d math.jsonl -d code.jsonl -o out/evaluation
  deno run -A cli/main.ts evaluate -c qwen3-8b-eagle3.env -d organisation/benchmarks:qa.jsonl
  deno run -A cli/main.ts evaluate compare out/before out/after -o out/compared
`,
    )
    .action(async (flags: Flags) => {
      const { base, speculator, dataset: data } = flags;
      const { maxTokens, temperature, topP, topK, seed, limit, concurrency } = flags;
      const rest = given({ maxTokens, temperature, topP, topK, seed, limit, concurrency });
      const options: EvaluateOptions = { base, speculator, data, ...rest, ...draftingOptions(flags) };
      const found = await follow(evaluate(options, await runtimeFor(flags, context)), flags, context);
      await conclude(found, {
        flags,
        context,
        engine: "local",
        settings: { data, ...rest, ...draftingOptions(flags) },
      });
    });
  defineCompare(command, context);
}

/** Prints what was found, and writes it where that is asked for. */
async function conclude(
  found: Found,
  about: {
    readonly flags: Flags;
    readonly context: Context;
    readonly engine: string;
    readonly settings: Readonly<Record<string, unknown>>;
  },
): Promise<void> {
  const { flags, context, engine, settings } = about, { base = null, speculator = null, outputDir } = flags;
  if (flags.json) printJson(context, found);
  else printEvaluation(context.out, found);
  if (outputDir === undefined) return;
  const name = flags.name ?? basename(speculator ?? base ?? engine);
  const paths = await writeResults(
    outputDir,
    evaluationRun(found, { name, engine, base, speculator, settings }),
  );
  if (!flags.json && !flags.quiet) context.err.write(paths.map((path) => `wrote ${path}\n`).join(""));
}
