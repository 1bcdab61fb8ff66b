/** `evaluate compare`: evaluations side by side. */
import { writeComparison } from "../../mod.ts";
import type { Command } from "../_commander.ts";
import { type Context, printJson } from "../context.ts";
import { printComparison } from "../evaluation_table.ts";

interface Flags {
  readonly outputDir?: string;
  readonly json?: boolean;
}

/** Adds the command below `evaluate`. */
export function defineCompare(evaluate: Command, context: Context): void {
  evaluate.enablePositionalOptions(); // flags behind the word are this command's
  evaluate.command("compare").summary("evaluations side by side")
    .copyInheritedSettings(evaluate)
    .argument(
      "<runs...>",
      "folders of evaluate --output-dir, or their results.json; LABEL=PATH gives one a name",
    )
    .description("Puts evaluations side by side: a table, and a page with charts.")
    .option("-o, --output-dir <folder>", "where comparison.html goes (default: only the table)")
    .option("--json", "print one JSON object")
    .option("--verbose", "show where an error happened")
    .helpOption("-h, --help", "show this")
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts evaluate compare out/eval-a out/eval-b
  deno run -A cli/main.ts evaluate compare before=out/a after=out/b -o out/compared
`,
    )
    .action(async (runs: string[], _: unknown, self: Command) => {
      const { outputDir, json }: Flags = self.opts();
      const { page, runs: read } = await writeComparison(runs, outputDir ?? null);
      if (json) return printJson(context, { runs: read });
      printComparison(context.out, read);
      if (page) context.out.write(`${page}\n`);
    });
}
