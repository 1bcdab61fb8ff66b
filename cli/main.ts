/**
 * The command line: `deno run -A cli/main.ts <command> …`. Parses, imports the one command that was asked for, and maps
 * errors to exit codes.
 *
 * @module
 */
import { Command, CommanderError } from "./_commander.ts";
import type { CommandModule, Context } from "./context.ts";
import { type Output, standard } from "./ui.ts";

/** A line of the command table: what `--help` says without importing the command. */
interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

const COMMANDS: readonly CommandEntry[] = [
  {
    name: "demo",
    summary: "the whole loop on the embedded verifier: data, training, a faster decode",
    load: () => import("./commands/demo.ts"),
  },
  {
    name: "datagen",
    summary: "conversations to training samples: the verifier's hidden states",
    load: () => import("./commands/datagen.ts"),
  },
  {
    name: "vocab-map",
    summary: "token frequencies to a draft vocabulary (d2t.npy, t2d.npy)",
    load: () => import("./commands/vocab_map.ts"),
  },
  {
    name: "train",
    summary: "train a speculator on training samples",
    load: () => import("./commands/train.ts"),
  },
  {
    name: "evaluate",
    summary: "acceptance and speed of a speculator on prompts",
    load: () => import("./commands/evaluate.ts"),
  },
  {
    name: "generate",
    summary: "write text, with or without a speculator",
    load: () => import("./commands/generate.ts"),
  },
  {
    name: "inspect",
    summary: "what is in a checkpoint or a tensor file",
    load: () => import("./commands/inspect.ts"),
  },
  {
    name: "plugins",
    summary: "the plugins there are",
    load: () => import("./commands/plugins.ts"),
  },
  {
    name: "doctor",
    summary: "what this machine computes on, and why",
    load: () => import("./commands/doctor.ts"),
  },
];

const EXAMPLES = `
Examples:
  deno run -A cli/main.ts demo
  deno run -A cli/main.ts datagen --target-model-path M --train-data-path chats.jsonl --output-dir data
  deno run -A cli/main.ts train --verifier-name-or-path M --data-path data --save-path checkpoints
  deno run -A cli/main.ts evaluate -b M -s checkpoints/19 -d held-out.jsonl
`;

/**
 * Runs a command line and gives its exit code: 0, 1 for an error, 2 for wrong usage, 130 when stopped.
 *
 * @param args without the program's name
 */
export async function main(args: readonly string[], context: Context): Promise<number> {
  const verbose = args.includes("--verbose");
  const program = new Command("speculators")
    .description("Speculative decoding: train a small draft model that lets a large one answer faster.")
    .option("--verbose", "show where an error happened")
    .addHelpText("after", EXAMPLES);
  settle(program, context);
  const lazy = new Map<string, () => Promise<void>>();
  for (const { name, summary, load } of COMMANDS) {
    const command = program.command(name).description(summary).option(
      "--verbose",
      "show where an error happened",
    );
    settle(command, context);
    lazy.set(name, async () => (await load()).define(command, context));
  }
  try {
    // Only the command that was asked for is imported: its flags, and what it runs.
    await lazy.get(args.find((arg) => !arg.startsWith("-")) ?? "")?.();
    if (args.length === 0) {
      program.outputHelp();
      return 2;
    }
    await program.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const { report } = await import("./exit.ts");
    return report(context.signal.aborted ? context.signal.reason : error, context.err, { verbose });
  }
}

/** Lets a command throw instead of ending the process, and write where the context says. */
function settle(command: Command, { out, err }: { out: Output; err: Output }): void {
  command.exitOverride().showSuggestionAfterError().showHelpAfterError("Run with --help to see what there is")
    .configureOutput({ writeOut: (text) => out.write(text), writeErr: (text) => err.write(text) });
}

if (import.meta.main) {
  const stop = new AbortController();
  const onInterrupt = async () => {
    if (stop.signal.aborted) Deno.exit(130); // asked twice
    const { AbortedError } = await import("../core/errors.ts");
    stop.abort(new AbortedError());
  };
  Deno.addSignalListener("SIGINT", onInterrupt);
  const code = await main(Deno.args, {
    out: standard("stdout"),
    err: standard("stderr"),
    signal: stop.signal,
  });
  Deno.removeSignalListener("SIGINT", onInterrupt);
  Deno.exit(code);
}
