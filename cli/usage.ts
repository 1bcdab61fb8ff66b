/**
 * Wrong usage in the project's words: what the parser found becomes one message and what to do.
 *
 * @module
 */
import type { CommanderError } from "./_commander.ts";
import { type Output, style } from "./ui.ts";

/** Flags of the Python scripts that mean nothing here, and why. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  "--deterministic-cuda": "Leave it out: the same run on the same backend gives the same bytes anyway",
  "--num-workers": "Leave it out: the next batch is read while one is worked on",
  "--prefetch-factor": "Leave it out: the next batch is read while one is worked on",
  "--fsdp-shard":
    "Leave it out: one machine trains here; the README says how the Python trainer goes on from a checkpoint",
  "--hidden-states-dtype": "Leave it out: states are computed with in the type that their files have",
  "--hidden-states-path": "Name the folder with --data-path: it holds the samples",
  "--legacy-data": "Leave it out: the layout of the samples is found out",
  "--dry-run": "Leave it out: what does not fit is refused before anything is computed",
};

/** Where it happened. */
export interface UsageOptions {
  /** The command that was asked for, if it is one. */
  readonly command: string | undefined;
  /** All commands. */
  readonly commands: readonly string[];
}

/** Tells of wrong usage. Gives the exit code. */
export function reportUsage(error: CommanderError, err: Output, options: UsageOptions): number {
  if (error.code === "commander.help") return 2; // the help was the answer
  const { message, hint } = translate(error, options);
  err.write(`${style(err, "red", "error")}: ${message}\n`);
  err.write(`${style(err, "cyan", "hint")}: ${hint}\n`);
  return 2;
}

function translate(
  error: CommanderError,
  { command, commands }: UsageOptions,
): { message: string; hint: string } {
  const [text = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
  const near = /Did you mean (?:one of )?(.+)\?\)$/.exec(suggestion ?? "")?.[1];
  const all = command ? `Run "${command} --help" to see what there is` : "Run --help to see what there is";
  const hint = near ? `Did you mean ${near}?` : all;
  const quoted = /'([^']*)'/.exec(text)?.[1] ?? "";
  const run = `Cannot run "${command ?? "speculators"}"`;
  switch (error.code) {
    case "commander.unknownCommand":
      return {
        message: `Cannot run "${quoted}": expected a command, received another word`,
        hint: near ? hint : `Commands are ${commands.join(", ")}`,
      };
    case "commander.unknownOption":
      return {
        message: `${run}: expected one of its flags, received "${quoted}"`,
        hint: LEFT_OUT[quoted] ?? hint,
      };
    case "commander.optionMissingArgument":
      return { message: `Cannot use "${long(quoted)}": expected a value, received none`, hint };
    case "commander.invalidArgument": {
      const [, flags = "", value = "", reason = ""] =
        /'([^']*)' argument '(.*)' is invalid\. (.*)$/s.exec(text) ?? [];
      const choices = /^Allowed choices are (.*)\.$/.exec(reason)?.[1];
      const expected = choices === undefined ? reason : `expected one of ${choices}, received "${value}"`;
      return { message: `Cannot use "${long(flags)}": ${expected}`, hint };
    }
    case "commander.missingArgument":
      return { message: `${run}: expected <${quoted}>, received none`, hint };
    case "commander.excessArguments": {
      const [, expected = "", found = ""] = /Expected (\d+) arguments? but got (.*?)\.$/.exec(text) ?? [];
      const words = expected === "0" ? "no argument without a flag" : `${expected} argument`;
      return { message: `${run}: expected ${words}, received ${found}`, hint };
    }
    default:
      return { message: text, hint };
  }
}

/** `-b, --base <folder>` → `--base`. */
function long(flags: string): string {
  return /--[\w-]+/.exec(flags)?.[0] ?? flags;
}
