/** `plugins check`: whether a plugin is as it must be, and the suite of its kind on it. */
import { PluginError, SpeculatorsError } from "../../core/errors.ts";
import { createRegistry, type Plugin, type PluginLock } from "../../mod.ts";
import type { Command } from "../_commander.ts";
import { type Context, pluginLock, printJson, type SharedFlags, sharedFlags } from "../context.ts";
import { given } from "../numbers.ts";
import { style } from "../ui.ts";

interface Flags extends SharedFlags {
  readonly verifier?: string;
  readonly endpoint?: string;
}

/** What is used of `tests/conformance`. */
interface Suites {
  pluginConformance(plugin: Plugin, options: {
    readonly device: "webgpu" | "wasm";
    readonly verifier?: string;
    readonly endpoint?: string;
    readonly test: (name: string, run: () => Promise<void>) => void;
  }): Promise<void>;
}

interface Finding {
  readonly test: string;
  /** What is wrong; `null` when nothing is. */
  readonly problem: string | null;
}

/** Defines the command. */
export function defineCheck(command: Command, context: Context): void {
  command.argument("<path-or-url>", "the plugin's module")
    .summary("whether a plugin is as it must be")
    .description(
      "Checks a plugin's members and runs the suite of its kind on it. It runs the plugin's code: what that may do is " +
        "what this process may do.",
    )
    .option("--verifier <model>", "folder of a small model to test with (default: the embedded one)")
    .option("--endpoint <url>", "address of the server, for engines that ask one");
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno run -A cli/main.ts plugins check ./my_draft/mod.ts
`,
    )
    .action(async (path: string, flags: Flags) => {
      const plugins = await pluginsOf(path, pluginLock(flags, context));
      const checked = [];
      for (const plugin of plugins) checked.push(await check(plugin, flags, context));
      const failed = checked.flatMap(({ findings }) =>
        findings
      ).filter(({ problem }) => problem !== null).length;
      if (flags.json) printJson(context, { plugins: checked, failed });
      if (failed === 0) return;
      throw new PluginError(path, `expected every test to pass, received ${failed} that did not`, {
        hint: "Mend what is told with each ✗; the suites are in tests/conformance",
      });
    });
}

/** The plugins of a module, checked as they are when they come in with `--plugin`. */
async function pluginsOf(path: string, lock: PluginLock): Promise<Plugin[]> {
  const registry = await createRegistry().import(path, { lock });
  return await Promise.all(
    registry.list().map(({ kind, name }) => registry.get(kind, name) as Promise<Plugin>),
  );
}

/** Not as a literal: Deno would bring the suites in with every start of the program. */
async function suites(): Promise<Suites> {
  return await import(new URL("../../tests/conformance/mod.ts", import.meta.url).href);
}

async function check(
  plugin: Plugin,
  flags: Flags,
  context: Context,
): Promise<{ readonly kind: string; readonly name: string; readonly findings: readonly Finding[] }> {
  const { out, signal } = context, { kind, name } = plugin;
  const shown = (text: string) => void (flags.json || out.write(text));
  const tests: { readonly name: string; readonly run: () => Promise<void> }[] = [];
  const { pluginConformance } = await suites();
  await pluginConformance(plugin, {
    test: (name, run) => void tests.push({ name, run }),
    device: flags.device === "webgpu" ? "webgpu" : "wasm",
    ...given({ verifier: flags.verifier, endpoint: flags.endpoint }),
  });
  shown(style(out, "bold", `${kind} ${name}: ${plugin.summary}\n`));
  const findings: Finding[] = [];
  for (const { name, run } of tests) {
    signal.throwIfAborted();
    const test = name.slice(name.indexOf(": ") + 2), problem = await problemOf(run);
    findings.push({ test, problem });
    shown(problem === null ? `${style(out, "green", "✓")} ${test}\n` : `${style(out, "red", "✗")} ${test}\n`);
    if (problem !== null) shown(problem.replaceAll(/^/gm, "    ") + "\n");
  }
  const passed = findings.filter(({ problem }) => problem === null).length;
  shown(`${passed} of ${findings.length} passed\n`);
  return { kind, name, findings };
}

/** Lines of a message that are worth reading: a difference of two long lists has hundreds. */
const LINES = 12;

async function problemOf(run: () => Promise<void>): Promise<string | null> {
  try {
    await run();
    return null;
  } catch (error) {
    if (!(error instanceof Error)) return String(error);
    const told = error.name === "AssertionError" || error instanceof SpeculatorsError;
    const message = told ? error.message : `${error.name}: ${error.message}`;
    return message.split("\n").filter((line) => line.trim() !== "").slice(0, LINES).join("\n");
  }
}
