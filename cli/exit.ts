/**
 * Errors as people read them, and exit codes: 1 for what went wrong, 130 for Ctrl-C. Wrong usage, 2, is told by
 * `usage.ts`.
 *
 * @module
 */
import { AbortedError, SpeculatorsError } from "../core/errors.ts";
import { type Output, style } from "./ui.ts";

/** How an error is told. */
export interface ReportOptions {
  /** With the stack. */
  readonly verbose: boolean;
  /** The command goes on where it was stopped when it is run again, or run again with this flag. */
  readonly resumes?: boolean | string;
  /** Long names of the command's flags: an option named in a message is told as its flag. */
  readonly flags?: readonly string[];
}

/** Prints an error: one message, what to do, no stack unless asked for. Gives the exit code. */
export function report(error: unknown, err: Output, options: ReportOptions): number {
  if (error instanceof AbortedError) {
    const flag = typeof options.resumes === "string" ? ` with ${options.resumes}` : "";
    const kept = options.resumes ? `. What was finished is kept; run the same command${flag} to go on` : "";
    err.write(`Stopped${kept}\n`);
    return 130;
  }
  const { message, hint } = permission(error) ?? told(error);
  err.write(`${style(err, "red", "error")}: ${inFlags(message, options.flags)}\n`);
  if (hint) err.write(`${style(err, "cyan", "hint")}: ${inFlags(hint, options.flags)}\n`);
  if (options.verbose && error instanceof Error) err.write(`${error.stack}\n`);
  else if (!(error instanceof SpeculatorsError)) err.write("Run with --verbose to see where it happened\n");
  return 1;
}

/** What to do where the error itself does not say. */
const HINTS: Readonly<Record<string, string>> = {
  E_CONFIG: "Correct it there, or take the file as it was published",
  E_DEVICE: "Compute on the CPU with --device wasm",
  E_ENDPOINT: "Look whether the server runs, and whether this is its address",
  E_FORMAT: "It may be cut off, damaged or of another kind: make or download it again",
  E_NOT_FOUND: "Look whether the name is right; a relative path begins at the working directory",
  E_PLUGIN: "Run without it, or tell whoever wrote it",
  E_WRITE: "Look at the free space and the permissions there, or name another place",
};

interface Told {
  readonly message: string;
  readonly hint?: string | undefined;
}

/** The error, and those underneath as far as they add something. */
function told(error: unknown): Told {
  const [first = "", ...causes] = chain(error);
  let message = textOf(first);
  for (const cause of causes) {
    const text = textOf(cause);
    // What is missing is said already; the system's own words only repeat it.
    if (cause instanceof Deno.errors.NotFound && error instanceof SpeculatorsError) continue;
    if (!message.includes(text)) message += `\n  because: ${text}`;
  }
  return { message, hint: error instanceof SpeculatorsError ? error.hint ?? HINTS[error.code] : undefined };
}

/** Deno runs a program with no permission that it was not given: wherever that shows, the flag is what to say. */
function permission(error: unknown): Told | null {
  const denied = chain(error).find((e) => e instanceof Deno.errors.NotCapable);
  if (!denied) return null;
  const found = /^Requires (.+?), (?:run again with|specify) .*?(--allow-[\w-]+)/.exec(textOf(denied));
  if (!found) return null;
  return {
    message: `Cannot go on: expected ${found[1]}, received no permission for it`,
    hint: `Give deno the flag ${found[2]} before the program's name, or -A for all permissions`,
  };
}

/** An error and its causes. */
function chain(error: unknown): unknown[] {
  const found: unknown[] = [];
  for (let e = error; e !== undefined && found.length < 8; e = e instanceof Error ? e.cause : undefined) {
    found.push(e);
  }
  return found;
}

function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  // A module that does not parse comes with its source, a request with everything on its way.
  return error instanceof SpeculatorsError ? text : text.split("\n", 1)[0]!;
}

/** `layerIds` → `--layer-ids`, where that is a flag of the command. */
function inFlags(text: string, flags: readonly string[] = []): string {
  const known = new Set(flags);
  const flag = (name: string): string | null => {
    const kebab = `--${name.replaceAll("_", "-").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    return known.has(kebab) ? kebab : null;
  };
  return text
    .replace(
      /^Cannot use "([A-Za-z_]+)":/,
      (all, name) => flag(name) === null ? all : `Cannot use "${flag(name)}":`,
    )
    .replace(/(?<![\w/.-])[a-z]+(?:\d[a-z]+)?(?:[A-Z][a-z]*)+(?![\w/.-])/g, (name) => flag(name) ?? name);
}
