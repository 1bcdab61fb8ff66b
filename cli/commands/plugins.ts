/** `plugins`: lists what the registry has; loads none of it. */
import type { Command } from "../_commander.ts";
import { type Context, printJson, runtimeFor, type SharedFlags, sharedFlags } from "../context.ts";
import { table } from "../ui.ts";

/** Defines the command. */
export function define(command: Command, context: Context): void {
  command.description("Lists the plugins by kind, loading none of them.");
  sharedFlags(command).addHelpText(
    "after",
    `
Examples:
  deno run -A cli/main.ts plugins
  deno run -A cli/main.ts plugins --plugin ./my_plugin.ts --json
`,
  ).action(async (flags: SharedFlags) => {
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
