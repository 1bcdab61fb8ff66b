/** `generate`: writes text as it comes, proposed tokens in colour. */
import { generate, type GenerateOptions } from "../../mod.ts";
import type { Command } from "../_commander.ts";
import { type Context, printJson, runtimeFor, type SharedFlags, sharedFlags } from "../context.ts";
import { decimal, given, whole } from "../numbers.ts";
import { Progress, style } from "../ui.ts";

interface Flags extends SharedFlags {
  readonly verifierNameOrPath: string;
  readonly speculator?: string;
  readonly prompt: string;
  readonly raw?: boolean;
  readonly numSpecTokens?: number;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly seed: number;
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  sharedFlags(command)
    .requiredOption("--verifier-name-or-path <folder>", "the verifier")
    .requiredOption("--prompt <text>", "a user's message")
    .option("--speculator <folder>", "the speculator; plain decoding without one")
    .option("--raw", "take the prompt as it is, without the chat template")
    .option(
      "--num-spec-tokens <n>",
      "tokens proposed a round (default: what the speculator's config says)",
      whole(1),
    )
    .option("--max-tokens <n>", "most tokens written", whole(1), 128)
    .option("--temperature <t>", "0 is greedy", decimal(0), 0)
    .option("--top-p <p>", "share of the mass that is sampled from", decimal(0, { max: 1, open: true }))
    .option("--top-k <k>", "how many tokens are sampled from", whole(1))
    .option("--seed <n>", "seed of sampling", whole(), 0)
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
        raw,
        numSpecTokens,
        maxTokens,
        temperature,
        topP,
        topK,
        seed,
      } = flags;
      const rest = given({ speculator, raw, numSpecTokens, maxTokens, temperature, topP, topK, seed });
      const options: GenerateOptions = { verifierNameOrPath, prompt, ...rest };
      const stage = generate(options, await runtimeFor(flags, context)), progress = new Progress(context.err);
      let next = await stage.next();
      for (; !next.done; next = await stage.next()) {
        const event = next.value;
        if (event.type !== "text") {
          if (!flags.quiet) progress.show(event);
        } else if (!flags.json) {
          context.out.write(event.accepted ? style(context.out, "green", event.text) : event.text);
        }
      }
      progress.end();
      const result = next.value;
      if (flags.json) return printJson(context, result);
      context.out.write("\n");
      if (flags.quiet) return;
      const speed = `${result.tokens.length} tokens, ${result.tokens_per_second.toFixed(1)} tokens/s`;
      const gain = result.acceptance
        ? `, mean accepted length ${
          result.acceptance.mean_accepted_length.toFixed(2)
        } (accepted tokens in green)`
        : "";
      context.err.write(`${speed}${gain}\n`);
    });
}
