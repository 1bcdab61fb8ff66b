/** `evaluate`: acceptance and speed of a speculator on prompts. */
import { evaluate, type EvaluateOptions, type EvaluateResult } from "../../mod.ts";
import type { Command } from "../_commander.ts";
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
import { decimal, given, whole } from "../numbers.ts";
import { type Output, style, table } from "../ui.ts";

interface Flags extends SharedFlags, DraftingFlags {
  readonly base: string;
  readonly speculator: string;
  readonly dataset: string[];
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly seed: number;
  readonly limit?: number;
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  requiredFlags(command, [
    ["-b, --base <folder>", "the verifier"],
    ["-s, --speculator <folder>", "the speculator"],
    ["-d, --dataset <file...>", "conversations (JSONL); the prompt is the first user turn"],
  ])
    .description(
      "Decodes prompts with and without the speculator: how many proposed tokens are accepted at each position, how " +
        "fast both are, and whether the texts are the same.",
    )
    .option("--max-tokens <n>", "most tokens written for a prompt", whole(1), 64)
    .option("--temperature <t>", "0 is greedy", decimal(0), 0)
    .option("--top-p <p>", "share of the mass that is sampled from", decimal(0, { max: 1, open: true }))
    .option("--top-k <k>", "how many tokens are sampled from", whole(1))
    .option("--seed <n>", "seed of sampling", whole(), 0)
    .option("--limit <n>", "most prompts", whole(1));
  sharedFlags(draftingFlags(command))
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts evaluate -b examples/assets/tiny-verifier -s out/demo/speculator \\
    -d examples/assets/tiny-verifier/dialogues.held-out.jsonl --limit 8
  deno run -A cli/main.ts evaluate -b M -s S -d prompts.jsonl --temperature 0.6 --top-p 0.95 --json
`,
    )
    .action(async (flags: Flags) => {
      const { base, speculator, dataset: data } = flags;
      const { maxTokens, temperature, topP, topK, seed, limit } = flags;
      const rest = given({ maxTokens, temperature, topP, topK, seed, limit });
      const options: EvaluateOptions = { base, speculator, data, ...rest, ...draftingOptions(flags) };
      const result = await follow(evaluate(options, await runtimeFor(flags, context)), flags, context);
      if (flags.json) printJson(context, result);
      else printEvaluation(context.out, result);
    });
}

/** Prints what an evaluation found. */
export function printEvaluation(out: Output, result: EvaluateResult): void {
  const percent = (x: number) => `${(100 * x).toFixed(1)}%`;
  const positions = result.acceptance_per_position.map((rate, i) => [
    String(i + 1),
    percent(rate),
    percent(result.conditional_acceptance[i]!),
  ]);
  const { plain, speculative } = result.tokens_per_second;
  out.write(
    style(out, "bold", `Acceptance of ${result.drafted} proposed tokens in ${result.rounds} rounds\n`) +
      table([["position", "accepted", "given the one before"], ...positions]) +
      table([
        ["mean accepted length", result.mean_accepted_length.toFixed(3)],
        ["tokens/s without the draft", plain.toFixed(1)],
        ["tokens/s with the draft", speculative.toFixed(1)],
        ["speed-up", plain > 0 ? `${(speculative / plain).toFixed(2)} ×` : "–"],
      ]) + identity(out, result),
  );
}

function identity(out: Output, { identical, prompts }: EvaluateResult): string {
  if (identical === null) {
    return "Sampled: texts with and without the draft differ, their distribution does not\n";
  }
  return identical
    ? style(out, "green", `Identical: all ${prompts} texts are token for token those of the verifier alone\n`)
    : style(
      out,
      "red",
      `NOT identical: some of the ${prompts} texts differ from those of the verifier alone\n`,
    );
}
