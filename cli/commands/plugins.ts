/** `plugins`: what the registry has; a new one, and whether one is as it must be. */
import type { Command } from "../_commander.ts";
import { type Context, printJson, runtimeFor, type SharedFlags, sharedFlags } from "../context.ts";
import { defineCheck } from "../plugins/check.ts";
import { defineNew } from "../plugins/new.ts";
import { defineShow } from "../plugins/show.ts";
import { defineSpeculator } from "../plugins/speculator.ts";
import { table } from "../ui.ts";

/** Defines the command and those below it. */
export function define(command: Command, context: Context): void {
  command.description("Lists the plugins by kind, loading none of them.");
  defineList(command, context);
  command.addHelpText(
    "after",
    `
Examples:
  deno run -A cli/main.ts plugins
  deno run -A cli/main.ts plugins --plugin ./my_plugin.ts --json
  deno run -A cli/main.ts plugins new my_draft --kind draft
`,
  );
  defineList(
    command.command("list").summary("the plugins there are").description("Lists the plugins."),
    context,
  );
  defineShow(command.command("show"), context);
  defineNew(command.command("new"), context);
  defineCheck(command.command("check"), context);
  defineSpeculator(command.command("speculator"), context);
}

function defineList(command: Command, context: Context): void {
  sharedFlags(command).action(async (flags: SharedFlags) => {
    const { registry } = await runtimeFor(flags, context);
    const entries = registry.list().map(({ kind, name, summary, source }) => ({
      kind,
      name,
      summary,
      source: source ?? "built in",
    }));
    if (flags.json) return printJson(context, { plugins: entries });
    const rows = entries.map(({ kind, name, summary, source }) => [kind, name, summary, source]);
    context.out.write(table([["kind", "name", "summary", "from"], ...rows]));
  });
}
