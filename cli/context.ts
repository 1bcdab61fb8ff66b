/** What commands share: where they write, how they are stopped, the flags that all of them take. */
import { createRuntime, finish, type PluginLock, type Runtime, type Stage } from "../mod.ts";
import { type Command, CommanderError, Option } from "./_commander.ts";
import { type Output, prettyJson, Progress, style } from "./ui.ts";

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

/** Flags of every command. */
export interface SharedFlags {
  /** Where to compute. */
  readonly device: "auto" | "webgpu" | "wasm";
  /** Modules with further plugins. */
  readonly plugin?: readonly string[];
  /** Take no plugin from an address that is not pinned. */
  readonly frozen?: boolean;
  /** Print one JSON object instead of a table. */
  readonly json?: boolean;
  /** Show no progress. */
  readonly quiet?: boolean;
}

/**
 * Adds flags that must be given: `[flags, description, parser]` each. Whether they are is looked at after all else, so
 * that a misspelled one is told as such, and all that are missing are told at once. `needed` says which ones must be given
 * beside the others that are.
 */
export function requiredFlags(
  command: Command,
  flags: readonly (readonly [flags: string, description: string, parser?: (value: string) => unknown])[],
  needed: (name: string) => boolean = () => true,
): Command {
  command.optionsGroup("Required:");
  const options = flags.map(([names, description, parser]) => {
    const option = new Option(names, description);
    command.addOption(parser ? option.argParser(parser) : option);
    return option;
  });
  const usage = (option: Option) => option.flags.replace(/^(-\w), --\S+/, "$1");
  command.usage(`${options.map(usage).join(" ")} [options]`);
  command.hook("preAction", (_, asked) => {
    if (asked !== command) return; // a command below it has flags of its own
    const missing = options.filter((option) =>
      command.getOptionValue(option.attributeName()) === undefined && needed(option.attributeName())
    );
    if (missing.length === 0) return;
    const names = missing.map((option) => option.flags.replace(/^-\w, /, "")).join(" and ");
    const message = `Cannot run "${command.name()}": expected ${names}, received none`;
    throw new CommanderError(2, "required", message);
  });
  return command.optionsGroup("Options:");
}

/** Adds the flags of {@linkcode SharedFlags}, after the command's own. */
export function sharedFlags(command: Command): Command {
  return command.optionsGroup("Everywhere:")
    .addOption(
      new Option("--device <kind>", "where to compute").choices(["auto", "webgpu", "wasm"]).default("auto"),
    )
    .option(
      "--plugin <path-or-url>",
      "module with a further plugin; may be given again for another one",
      (value: string, before: string[] | undefined) => [...before ?? [], value],
    )
    .option("--frozen", `refuse plugins from a URL that ${LOCK_FILE} does not know`)
    .option("--json", "print one JSON object")
    .option("--quiet", "show no progress")
    .option("--verbose", "show where an error happened")
    .helpOption("-h, --help", "show this");
}

/** Puts the runtime of a command together. */
export function runtimeFor(flags: SharedFlags, context: Context): Promise<Runtime> {
  return createRuntime({
    device: flags.device,
    plugins: flags.plugin ?? [],
    pluginLock: pluginLock(flags, context),
    signal: context.signal,
  });
}

/** Hashes of plugins that come from a URL, in the working directory. */
const LOCK_FILE = "speculators.lock.json";

/** Where plugins from a URL are pinned. */
export function pluginLock(flags: Pick<SharedFlags, "frozen" | "quiet">, { err }: Context): PluginLock {
  const onNote = (message: string) =>
    void (flags.quiet || err.write(`${style(err, "cyan", "note")}: ${message}\n`));
  return { path: LOCK_FILE, frozen: flags.frozen ?? false, onNote };
}

/** Runs a stage and shows its events; `quiet` leaves warnings and text, `json` leaves no text. */
export async function follow<R>(
  stage: Stage<R>,
  flags: Pick<SharedFlags, "quiet" | "json">,
  context: Context,
): Promise<R> {
  const { out, err } = context, progress = new Progress(err);
  try {
    return await finish(stage, (event) => {
      const warning = event.type === "note" && event.level === "warning";
      if (event.type === "text") {
        if (!flags.json) out.write(event.accepted ? style(out, "green", event.text) : event.text);
      } else if (!flags.quiet || warning) progress.show(event);
    });
  } finally {
    progress.end();
  }
}

/** Prints a value as JSON. */
export function printJson(context: Context, value: object): void {
  context.out.write(`${prettyJson(value)}\n`);
}
