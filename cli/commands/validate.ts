/** `validate`: whether a speculator can be used. */
import { ConfigError, validate } from "../../mod.ts";
import type { Command } from "../_commander.ts";
import { type Context, follow, printJson, runtimeFor, type SharedFlags, sharedFlags } from "../context.ts";
import { whole } from "../numbers.ts";
import { style } from "../ui.ts";

interface Flags extends SharedFlags {
  readonly verifier?: string;
  readonly tokens: number;
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  command.argument("<speculator>", "a folder, or organisation/name[@revision] of the hub")
    .description("Looks at a speculator's config, tensors and numbers, at what vLLM asks for, and runs it.")
    .option("--verifier <model>", "its verifier, to decode some tokens with both")
    .option("--tokens <n>", "tokens to decode", whole(1), 8);
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts validate out/demo/speculator
  deno run -A cli/main.ts validate out/demo/speculator --verifier examples/assets/verifier
`,
    )
    .action(async (path: string, flags: Flags) => {
      const { verifier, tokens } = flags, runtime = await runtimeFor(flags, context);
      const options = { path, tokens, ...(verifier === undefined ? {} : { verifier }) };
      const result = await follow(validate(options, runtime), flags, context);
      const { out } = context, { problems, checked, decoded } = result;
      if (flags.json) printJson(context, result);
      else if (problems.length > 0) {
        out.write(
          style(out, "bold", `${problems.length} ${problems.length === 1 ? "problem" : "problems"}\n`),
        );
        for (const problem of problems) out.write(`${style(out, "red", "✗")} ${problem}\n`);
      } else {
        out.write(`${style(out, "green", "✓")} Valid: ${checked.join(", ")}\n`);
        if (decoded) {
          out.write(`Decoded ${decoded.tokens} tokens, ${decoded.accepted} of them proposed by the draft\n`);
        }
      }
      if (problems.length === 0) return;
      throw new ConfigError(
        path,
        `expected a speculator that can be used, received ${problems.length} problems`,
        {
          hint: "Convert or train it again; each problem is told with the result",
        },
      );
    });
}
