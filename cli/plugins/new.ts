/** `plugins new`: a folder with a plugin that works, its test and a README. */
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError, WriteError } from "../../core/errors.ts";
import type { PluginKind } from "../../mod.ts";
import { type Command, Option } from "../_commander.ts";
import { type Context, printJson, type SharedFlags, sharedFlags } from "../context.ts";
import { KINDS } from "./show.ts";

/** Files of a plugin's folder, as they lie in `examples/templates/KIND`. */
const FILES = ["mod.ts", "mod_test.ts", "README.md"];

/** Where the project is: a folder, or the address that it was run from. */
const ROOT = new URL("../../", import.meta.url);

interface Flags extends SharedFlags {
  readonly kind: PluginKind;
  readonly outputPath?: string;
}

/** Defines the command. */
export function defineNew(command: Command, context: Context): void {
  command.argument("<name>", "the plugin's, in snake_case")
    .summary("a new plugin: a folder that works, with its test")
    .description("Writes the folder of a new plugin: mod.ts, which works as it is, its test and a README.")
    .addOption(new Option("--kind <kind>", "what it is to be").choices([...KINDS]).default("draft"))
    .option("--output-path <folder>", "where it is written (default: a folder of that name)");
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts plugins new my_draft
  deno run -A cli/main.ts plugins new my_loss --kind loss --output-path plugins/my_loss
`,
    )
    .action(async (name: string, flags: Flags) => {
      const { kind, outputPath: folder = name } = flags;
      if (!/^[a-z][a-z0-9_]{0,63}$/.test(name)) {
        throw new ConfigError("name", `expected a name in snake_case, received ${JSON.stringify(name)}`, {
          hint: "Take small letters, digits and _, a letter first",
        });
      }
      const texts = await Promise.all(FILES.map((file) => template(`examples/templates/${kind}/${file}`)));
      await makeFolder(folder);
      for (const [i, file] of FILES.entries()) {
        await Deno.writeTextFile(join(folder, file), filled(texts[i]!, { kind, name }), {
          createNew: true,
        });
      }
      if (flags.json) return printJson(context, { folder: resolve(folder), kind, name, files: FILES });
      context.out.write(`Written: ${folder} (${FILES.join(", ")})\n`);
      if (flags.quiet) return;
      const check = `deno run -A ${program()} plugins check ${here(join(folder, "mod.ts"))}`;
      context.err.write(`It works as it is. Try it:\n  deno test -A ${folder}\n  ${check}\n`);
    });
}

/** The program as it is called from the working directory. */
function program(): string {
  const main = new URL("cli/main.ts", ROOT);
  return main.protocol === "file:" ? relative(Deno.cwd(), fileURLToPath(main)) : main.href;
}

/** A path that is not taken for a name. */
function here(path: string): string {
  return /^(?:[./\\]|[A-Za-z]:)/.test(path) ? path : `./${path}`;
}

/** A file of the project as text, from wherever the project is run. */
async function template(path: string): Promise<string> {
  const module = await import(new URL(path, ROOT).href, { with: { type: "text" } }) as { default: string };
  return module.default;
}

/** A template as the plugin's own file: its name, and where the project is. */
function filled(
  text: string,
  { kind, name }: { readonly kind: PluginKind; readonly name: string },
): string {
  const words = name.split("_").map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join("");
  const class_ = `My${kind.slice(0, 1).toUpperCase()}${kind.slice(1)}`;
  return text
    .replaceAll(`my_${kind}`, name)
    .replaceAll(class_, words)
    .replaceAll("../../../", ROOT.href);
}

/** Nothing that is there is written over. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await Deno.mkdir(folder, { recursive: true });
    for await (const { name } of Deno.readDir(folder)) {
      throw new ConfigError(
        "outputPath",
        `expected a folder that is empty, received one with ${name} in it`,
        {
          hint: "Give another name, or another folder with --output-path",
        },
      );
    }
  } catch (cause) {
    if (cause instanceof ConfigError || cause instanceof Deno.errors.NotCapable) throw cause;
    throw new WriteError(folder, "expected a folder that can be made", { cause });
  }
}
