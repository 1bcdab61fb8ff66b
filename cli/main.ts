/**
 * The command line: `deno run -A cli/main.ts <command> …`. Parses, imports the one command that was asked for, and maps
 * errors to exit codes.
 *
 * @module
 */
import { Command, CommanderError } from "./_commander.ts";
import type { CommandModule, Context } from "./context.ts";
import { standard } from "./ui.ts";

/** A line of the command table: what `--help` says without importing the command. */
interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
  /** Run again after it was stopped, it goes on where it was; a text is the flag that this takes. */
  readonly resumes?: boolean | string;
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
    resumes: true,
  },
  {
    name: "regenerate",
    summary: "the answers of a data set written anew by the verifier",
    load: () => import("./commands/regenerate.ts"),
    resumes: "--resume",
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
    resumes: true,
  },
  {
    name: "evaluate",
    summary: "acceptance and speed of a speculator on prompts",
    load: () => import("./commands/evaluate.ts"),
  },
  {
    name: "pipeline",
    summary: "datagen, vocab-map, train and evaluate in one run, from one file of settings",
    load: () => import("./commands/pipeline.ts"),
    resumes: true,
  },
  {
    name: "generate",
    summary: "write text, with or without a speculator",
    load: () => import("./commands/generate.ts"),
  },
  {
    name: "serve",
    summary: "answer over HTTP as OpenAI does, with or without a speculator",
    load: () => import("./commands/serve.ts"),
  },
  {
    name: "convert",
    summary: "published drafts to the speculators format, and back",
    load: () => import("./commands/convert.ts"),
  },
  {
    name: "validate",
    summary: "whether a speculator can be used, and what is wrong with it",
    load: () => import("./commands/validate.ts"),
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
    name: "engines",
    summary: "where text and hidden states come from, and how a server for them is started",
    load: () => import("./commands/engines.ts"),
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

Every command has a --help of its own.
`;

/**
 * Runs a command line and gives its exit code: 0, 1 for an error, 2 for wrong usage, 130 when stopped.
 *
 * @param args without the program's name
 */
export async function main(args: readonly string[], context: Context): Promise<number> {
  const { err, signal } = context;
  const program = new Command("speculators")
    .description("Speculative decoding: train a small draft model that lets a large one answer faster.")
    .option("--verbose", "show where an error happened")
    .enablePositionalOptions() // flags behind a command's name are that command's
    .helpOption("-h, --help", "show this")
    .helpCommand("help [command]", "what a command does, and its flags")
    .addHelpText("after", EXAMPLES);
  configure(program, context);
  const commands = new Map(COMMANDS.map((entry) => {
    const command = program.command(entry.name).summary(entry.summary);
    configure(command, context);
    return [entry.name, { entry, command }];
  }));
  const words = args.filter((arg) => !arg.startsWith("-"));
  const asked = commands.get((words[0] === "help" ? words[1] : words[0]) ?? "");
  try {
    if (args.length === 0) {
      err.write(program.helpInformation());
      return 2;
    }
    // Only the command that was asked for is imported: its flags, and what it runs.
    if (asked) (await asked.entry.load()).define(asked.command, context);
    await program.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    if (signal.reason instanceof Deno.errors.BrokenPipe) return 0; // nobody reads on, as with `… | head`
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      const { reportUsage } = await import("./usage.ts");
      return reportUsage(error, err, { command: asked?.entry.name, commands: [...commands.keys()] });
    }
    const { report } = await import("./exit.ts");
    return report(signal.aborted ? signal.reason : error, err, {
      verbose: args.includes("--verbose"),
      resumes: asked?.entry.resumes ?? false,
      flags: asked ? flagsOf(asked.command) : [],
    });
  }
}

/** Long names of a command's flags, those of the commands below it too. */
function flagsOf(command: Command): string[] {
  return [command, ...command.commands].flatMap(({ options }) => options.flatMap(({ long }) => long ?? []));
}

/** Lets a command throw instead of ending the process, write where the context says, and say its defaults in few words. */
function configure(command: Command, { out, err }: Context): void {
  command.exitOverride().showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => out.write(text),
      writeErr: (text) => err.write(text),
      outputError: () => {}, // told by usage.ts
      // Asked for, or the library looks into the environment, which needs a permission.
      getOutHasColors: () => out.colour,
      getErrHasColors: () => err.colour,
    })
    .configureHelp({
      subcommandTerm: (sub) => [sub.name(), ...sub.registeredArguments.map((a) => `<${a.name()}>`)].join(" "),
      optionDescription({ description, argChoices, defaultValue, defaultValueDescription }) {
        const notes = [
          ...(argChoices ? [`one of ${argChoices.join(", ")}`] : []),
          ...(defaultValue === undefined || typeof defaultValue === "boolean"
            ? []
            : [`default: ${defaultValueDescription ?? defaultValue}`]),
        ];
        return notes.length === 0 ? description : `${description} (${notes.join("; ")})`;
      },
    });
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
    out: standard("stdout", (error) => stop.abort(error)),
    err: standard("stderr"),
    signal: stop.signal,
  });
  Deno.removeSignalListener("SIGINT", onInterrupt);
  Deno.exit(code);
}
