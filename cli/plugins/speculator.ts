/** `plugins speculator`: a speculator of a draft that needs no training, which is a config alone. */
import { ConfigError, NotFoundError, PluginError } from "../../core/errors.ts";
import { openVerifier, readSpeculatorConfig, writeSpeculatorConfig } from "../../mod.ts";
import type { Command } from "../_commander.ts";
import {
  type Context,
  printJson,
  requiredFlags,
  runtimeFor,
  type SharedFlags,
  sharedFlags,
} from "../context.ts";
import { given, whole } from "../numbers.ts";

interface Flags extends SharedFlags {
  readonly verifier: string;
  readonly outputPath: string;
  readonly numSpecTokens?: number;
}

/** Defines the command. */
export function defineSpeculator(command: Command, context: Context): void {
  command.argument("<name>", "the draft plugin's")
    .summary("a speculator of a draft that needs no training")
    .description("Writes the config.json of a speculator whose draft has no weights, such as prompt lookup.");
  requiredFlags(command, [
    ["--verifier <model>", "the model that is sped up"],
    ["--output-path <folder>", "where the speculator is written"],
  ]).option("--num-spec-tokens <n>", "tokens proposed a round (default: the draft's own)", whole(1));
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts plugins speculator ngram --plugin examples/ngram-plugin/mod.ts \\
    --verifier examples/assets/tiny-verifier --output-path out/ngram
`,
    )
    .action(async (name: string, flags: Flags) => {
      const runtime = await runtimeFor(flags, context), { outputPath: folder } = flags;
      const plugin = await runtime.registry.get("draft", name);
      if (plugin.trainable) {
        throw new PluginError(name, "expected a draft without weights, received one that is trained", {
          hint: `Train it: train --speculator-type ${name}`,
        });
      }
      if (await isThere(folder)) {
        throw new ConfigError("outputPath", `expected a folder without a config.json, received ${folder}`, {
          hint: "Name another folder, or remove it",
        });
      }
      using verifier = await openVerifier(flags.verifier, runtime);
      const { configure } = await plugin.load();
      const options = given({ speculativeTokens: flags.numSpecTokens });
      await Deno.mkdir(folder, { recursive: true });
      await writeSpeculatorConfig(folder, configure(verifier.info, options));
      if (flags.json) return printJson(context, { speculator: folder, algorithm: name });
      context.out.write(`Written: ${folder} (config.json)\n`);
    });
}

async function isThere(folder: string): Promise<boolean> {
  try {
    await readSpeculatorConfig(folder);
    return true;
  } catch (error) {
    if (error instanceof NotFoundError) return false;
    return true;
  }
}
