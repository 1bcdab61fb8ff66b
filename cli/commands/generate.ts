/** `generate`: writes text as it comes, proposed tokens in colour. */
import { generate, type GenerateOptions, type GenerateResult } from "../../mod.ts";
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

interface Flags extends SharedFlags, DraftingFlags {
  readonly verifierNameOrPath: string;
  readonly speculator?: string;
  readonly prompt: string;
  readonly image?: readonly string[];
  readonly raw?: boolean;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly seed: number;
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  requiredFlags(command, [
    ["-b, --verifier-name-or-path <folder>", "the verifier"],
    ["-p, --prompt <text>", "a user's message"],
  ])
    .description(
      "Writes an answer to standard output as it comes; with a speculator the same answer comes sooner.",
    )
    .option("-s, --speculator <folder>", "the speculator; plain decoding without one")
    .option(
      "--image <file>",
      "a PNG or JPEG image that stands before the message, or a data: URL; may be repeated",
      (file: string, files: readonly string[] = []) => [...files, file],
    )
    .option("--raw", "take the prompt as it is, without the chat template")
    .option("--max-tokens <n>", "most tokens written", whole(1), 128)
    .option("--temperature <t>", "0 is greedy", decimal(0), 0)
    .option("--top-p <p>", "share of the mass that is sampled from", decimal(0, { max: 1, open: true }))
    .option("--top-k <k>", "how many tokens are sampled from", whole(1))
    .option("--seed <n>", "seed of sampling", whole(), 0);
  sharedFlags(draftingFlags(command))
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts generate --verifier-name-or-path examples/assets/tiny-verifier \\
    --speculator out/demo/speculator --prompt "Good morrow, my lord."
`,
    )
    .action(async (flags: Flags) => {
      const {
        verifierNameOrPath,
        prompt,
        speculator,
        image: images,
        raw,
        maxTokens,
        temperature,
        topP,
        topK,
        seed,
      } = flags;
      const rest = given({ speculator, images, raw, maxTokens, temperature, topP, topK, seed });
      const options: GenerateOptions = { verifierNameOrPath, prompt, ...rest, ...draftingOptions(flags) };
      let began = false;
      const out = { ...context.out, write: (text: string) => (began = true, context.out.write(text)) };
      let result: GenerateResult;
      try {
        const runtime = await runtimeFor(flags, context);
        result = await follow(generate(options, runtime), flags, { ...context, out });
      } finally {
        if (began) context.out.write("\n"); // also where the text was cut off
      }
      if (flags.json) return printJson(context, result);
      if (!flags.quiet) context.err.write(`${summary(result, context.out.colour)}\n`);
    });
}

function summary({ tokens, tokens_per_second, acceptance }: GenerateResult, colour: boolean): string {
  const speed = `${tokens.length} tokens, ${tokens_per_second.toFixed(1)} tokens/s`;
  if (!acceptance) return speed;
  const length = acceptance.mean_accepted_length.toFixed(2);
  return `${speed}, mean accepted length ${length}${colour ? " (accepted tokens in green)" : ""}`;
}
