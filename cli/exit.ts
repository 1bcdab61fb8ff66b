/**
 * Errors as people read them, and exit codes: 1 for what went wrong, 2 for wrong usage, 130 for Ctrl-C.
 *
 * @module
 */
import { AbortedError, SpeculatorsError } from "../core/errors.ts";
import { type Output, style } from "./ui.ts";

/** Prints an error: one message, what to do, no stack unless asked for. Gives the exit code. */
export function report(error: unknown, err: Output, options: { readonly verbose: boolean }): number {
  if (error instanceof AbortedError) {
    err.write("Stopped. What was finished is kept; run the same command to go on\n");
    return 130;
  }
  err.write(`${style(err, "red", "error")}: ${messages(error).join("\n  because: ")}\n`);
  const hint = error instanceof SpeculatorsError ? error.hint : undefined;
  if (hint) err.write(`${style(err, "cyan", "hint")}: ${hint}\n`);
  if (options.verbose && error instanceof Error) err.write(`${error.stack}\n`);
  else if (!(error instanceof SpeculatorsError)) err.write("Run with --verbose to see where it happened\n");
  return 1;
}

function messages(error: unknown): string[] {
  const found: string[] = [];
  for (
    let e: unknown = error;
    e !== undefined && found.length < 5;
    e = e instanceof Error ? e.cause : undefined
  ) {
    found.push(e instanceof Error ? e.message || e.name : String(e));
  }
  return found;
}
