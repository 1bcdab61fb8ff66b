/** `plugins show`: what a plugin says of itself, and the schema of its config. */
import { NotFoundError, PluginError } from "../../core/errors.ts";
import type { Plugin, PluginEntry, PluginKind, Registry } from "../../mod.ts";
import { type Command, Option } from "../_commander.ts";
import { type Context, printJson, runtimeFor, type SharedFlags, sharedFlags } from "../context.ts";
import { table } from "../ui.ts";

/** Kinds, in the order in which a name is looked for. */
export const KINDS: readonly PluginKind[] = ["draft", "verifier", "engine", "logger", "loss"];

interface Flags extends SharedFlags {
  readonly kind?: PluginKind;
  readonly schema?: boolean;
}

/** Defines the command. */
export function defineShow(command: Command, context: Context): void {
  command.argument("<name>", "the plugin's")
    .summary("what a plugin says of itself")
    .description("Loads a plugin and shows what it says of itself, or the schema of its config.json.")
    .addOption(new Option("--kind <kind>", "where several kinds have the name").choices([...KINDS]))
    .option("--schema", "print the JSON Schema of its config");
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts plugins show eagle3 --schema
`,
    )
    .action(async (name: string, flags: Flags) => {
      const { registry } = await runtimeFor(flags, context);
      const entry = entryOf(registry, name, flags.kind);
      const plugin = await registry.get(entry.kind, name);
      if (flags.schema) return printJson(context, await schemaOf(plugin));
      const found = { ...dataOf(plugin), from: entry.source ?? "built in" };
      if (flags.json) return printJson(context, found);
      context.out.write(table(Object.entries(found).map(([key, value]) => [key, text(value)])));
    });
}

function entryOf(registry: Registry, name: string, kind?: PluginKind): PluginEntry {
  const entries = kind === undefined ? registry.list() : registry.list(kind);
  const [first, second] = entries.filter((entry) => entry.name === name);
  if (first === undefined) {
    const known = entries.map((entry) => entry.name).join(", ");
    throw new NotFoundError(name, `expected the name of a plugin, known are ${known}`, {
      hint: "A path or a URL brings in a plugin of your own, with --plugin",
    });
  }
  if (second !== undefined) {
    throw new NotFoundError(name, `expected one plugin, received a ${first.kind} and a ${second.kind}`, {
      hint: `Say which with --kind ${first.kind} or --kind ${second.kind}`,
    });
  }
  return first;
}

/** What is data: the functions are left out. */
function dataOf(plugin: Plugin): Record<string, unknown> {
  return Object.fromEntries(Object.entries(plugin).filter(([, value]) => typeof value !== "function"));
}

function text(value: unknown): string {
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** The JSON Schema of a draft's config. */
async function schemaOf(plugin: Plugin): Promise<Record<string, unknown>> {
  const { name, kind } = plugin;
  if (plugin.kind !== "draft") {
    throw new PluginError(name, `expected a draft plugin, received one of kind ${kind}`, {
      hint: "Only drafts have a config of their own: leave --schema out",
    });
  }
  const { schema } = await plugin.load(), { jsonSchema, vendor } = schema["~standard"];
  const hint = "Look at its documentation, or ask whoever wrote it for a schema with the member jsonSchema";
  if (typeof jsonSchema?.input !== "function") {
    throw new PluginError(
      name,
      `expected its schema to give a JSON Schema, received one of "${vendor}", which cannot`,
      { hint },
    );
  }
  try {
    return jsonSchema.input({ target: "draft-2020-12" });
  } catch (cause) {
    throw new PluginError(name, "expected its schema to give a JSON Schema, received an error", {
      cause,
      hint,
    });
  }
}
