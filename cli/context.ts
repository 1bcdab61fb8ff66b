/** What commands share: where they write, how they are stopped, the flags that all of them take. */
import { createRuntime, type Runtime, type Stage } from "../mod.ts";
import type { Command } from "./_commander.ts";
import { Option } from "./_commander.ts";
import { type Output, Progress } from "./ui.ts";

/** Surroundings of a command. */
export interface Context {
  /** Results. */
  readonly out: Output;
  /** Progress, notes and errors. */
  readonly err: Output;
  /** Given on Ctrl-C. */
  readonly signal: AbortSignal;
}

/** A command's module: adds its options and its action to the command. */
export interface CommandModule {
  /** Defines the command. */
  define(command: Command, context: Context): void;
}

/** Flags of every command that computes. */
export interface SharedFlags {
  /** Where to compute. */
  readonly device: "auto" | "webgpu" | "wasm";
  /** Modules with further plugins. */
  readonly plugin: readonly string[];
  /** Print one JSON object instead of a table. */
  readonly json?: boolean;
  /** Show no progress. */
  readonly quiet?: boolean;
}

/** Adds the flags of {@linkcode SharedFlags}. */
export function sharedFlags(command: Command): Command {
  return command
    .addOption(
      new Option("--device <kind>", "where to compute").choices(["auto", "webgpu", "wasm"]).default("auto"),
    )
    .addOption(
      new Option("--plugin <path-or-url>", "module with a further plugin (repeatable)").default([]).argParser(
        (value: string, before: string[]) => [...before, value],
      ),
    )
    .option("--json", "print one JSON object")
    .option("--quiet", "show no progress");
}

/** Puts the runtime of a command together. */
export function runtimeFor(flags: SharedFlags, context: Context): Promise<Runtime> {
  return createRuntime({ device: flags.device, plugins: flags.plugin, signal: context.signal });
}

/** Runs a stage and shows its events. */
export async function follow<R>(
  stage: Stage<R>,
  flags: { readonly quiet?: boolean },
  context: Context,
): Promise<R> {
  const progress = new Progress(context.err);
  try {
    while (true) {
      const next = await stage.next();
      if (next.done) return next.value;
      if (!flags.quiet) progress.show(next.value);
    }
  } finally {
    progress.end();
  }
}

/** Prints a value as JSON. */
export function printJson(context: Context, value: unknown): void {
  context.out.write(`${JSON.stringify(value, null, 2)}\n`);
}
