/** `datagen merge`: the shards of a data set to one folder. */
import { mergeSamples } from "../../mod.ts";
import type { Command } from "../_commander.ts";
import { type Context, follow, printJson, requiredFlags, type SharedFlags, sharedFlags } from "../context.ts";
import { given } from "../numbers.ts";

interface Flags extends SharedFlags {
  readonly outputDir: string;
  readonly tokenFreqPath?: string;
}

/** Adds the command below `datagen`. */
export function defineMerge(datagen: Command, context: Context): void {
  datagen.enablePositionalOptions(); // flags behind the word are this command's
  const command = datagen.command("merge").summary("shards of datagen to one folder")
    .copyInheritedSettings(datagen)
    .argument("<folders...>", "the --output-dir of each shard")
    .description("Puts the shards of a run together: the samples are those of one run without --shard.");
  requiredFlags(command, [["--output-dir <folder>", "where samples go; files are linked where the disk can"]])
    .usage("--output-dir <folder> [options] <folders...>")
    .option(
      "--token-freq-path <file>",
      "where the sum of their token frequencies goes (default: ./token_freq.pt)",
    );
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts datagen merge --output-dir out/data out/part-1 out/part-2
`,
    )
    .action(async (folders: string[], _: unknown, self: Command) => {
      const flags: Flags = self.opts(), { outputDir, tokenFreqPath } = flags;
      const stage = mergeSamples({ folders, outputDir, ...given({ tokenFreqPath }) }, context);
      const result = await follow(stage, flags, context);
      if (flags.json) return printJson(context, result);
      const counted = result.tokenFreqPath === null
        ? "; a shard has no token frequencies beside its folder, give their files to vocab-map"
        : "";
      context.out.write(`${result.samples} samples in ${result.folder}${counted}\n`);
    });
}
