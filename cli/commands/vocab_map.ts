/** `vocab-map`: token frequencies to a draft vocabulary. */
import { vocabMap } from "../../mod.ts";
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
import { given, whole } from "../numbers.ts";
import { style, table } from "../ui.ts";

interface Flags extends SharedFlags {
  readonly tokenFreqPath: string[];
  readonly draftVocabSize: number;
  readonly targetVocabSize?: number;
  readonly targetModelPath?: string;
  readonly outputPath: string;
}

/** Defines the command. */
export function define(command: Command, context: Context): void {
  requiredFlags(command, [
    ["--token-freq-path <file...>", "token frequencies of datagen; several are added up"],
    ["--draft-vocab-size <n>", "entries of the draft vocabulary", whole(1)],
    ["--output-path <folder>", "where d2t.npy and t2d.npy go"],
  ])
    .description("Chooses the tokens that a draft can propose: the most frequent ones.")
    .option(
      "--target-vocab-size <n>",
      "entries of the verifier's vocabulary; this or --target-model-path",
      whole(1),
    )
    .option("--target-model-path <folder>", "the verifier, to read that size from");
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts vocab-map --token-freq-path token_freq.pt --draft-vocab-size 512 \\
    --target-model-path examples/assets/tiny-verifier --output-path out/vocab
`,
    )
    .action(async (flags: Flags) => {
      const { tokenFreqPath, draftVocabSize, targetVocabSize, targetModelPath, outputPath } = flags;
      const options = {
        tokenFreqPath,
        draftVocabSize,
        outputPath,
        ...given({ targetVocabSize, targetModelPath }),
      };
      const result = await follow(vocabMap(options, await runtimeFor(flags, context)), flags, context);
      if (flags.json) return printJson(context, result);
      const rows = result.coverage.map(({ size, share }) => [
        String(size),
        `${(100 * share).toFixed(1)}%`,
        "▇".repeat(Math.round(share * 30)) + (size === result.draftVocabSize ? " ← this one" : ""),
      ]);
      context.out.write(
        style(context.out, "bold", "Share of the trained tokens that a draft vocabulary keeps\n") +
          table([["size", "kept", ""], ...rows]) +
          `Written: ${result.paths.d2t}, ${result.paths.t2d}\n`,
      );
    });
}
