/** The command line for tests: run in this process, its outputs recorded, or as a process of its own. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { main } from "../cli/main.ts";

/** The embedded verifier. */
export const VERIFIER: string = fileURLToPath(new URL("../examples/assets/tiny-verifier", import.meta.url));

/** Conversations for it. */
export const DIALOGUES: string = join(VERIFIER, "dialogues.held-out.jsonl");

/** A speculator for it, whatever other golden files are tested with. */
export const SPECULATOR: string = fileURLToPath(new URL("./golden/generate/draft", import.meta.url));

const MAIN = fileURLToPath(new URL("../cli/main.ts", import.meta.url));

/** What a run of the command line gave. */
export interface CliResult {
  /** Exit code. */
  readonly code: number;
  /** Standard output. */
  readonly out: string;
  /** Standard error. */
  readonly err: string;
}

/** Runs a command line in this process. */
export async function cli(
  args: readonly string[],
  options: { readonly colour?: boolean } = {},
): Promise<CliResult> {
  const texts = { out: "", err: "" };
  const record = (name: "out" | "err") => ({
    terminal: false,
    colour: options.colour ?? false,
    write: (text: string) => void (texts[name] += text),
  });
  const signal = new AbortController().signal;
  return { code: await main(args, { out: record("out"), err: record("err"), signal }), ...texts };
}

/** How a process is run. */
export interface ProcessOptions {
  /** Flags of deno; all permissions when absent. */
  readonly flags?: readonly string[];
  /** Variables of its environment, besides this process's. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A command line as a process, its outputs piped. */
export function cliProcess(args: readonly string[], options: ProcessOptions = {}): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", ...options.flags ?? ["-A"], MAIN, ...args],
    env: { ...options.env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs a command line as a process, to its end. */
export async function runProcess(args: readonly string[], options: ProcessOptions = {}): Promise<CliResult> {
  const { code, stdout, stderr } = await cliProcess(args, options).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

/** A folder that is gone after the test. */
export async function inFolder(run: (at: (...parts: string[]) => string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run((...parts) => join(folder, ...parts));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Copies a model's folder without its data sets; `change` may rewrite its config. */
export async function copyModel(
  from: string,
  to: string,
  change: (config: Record<string, unknown>) => Record<string, unknown> = (config) => config,
): Promise<string> {
  await Deno.mkdir(to);
  for await (const { name } of Deno.readDir(from)) {
    if (/\.(json|jinja|safetensors)$/.test(name)) await Deno.copyFile(join(from, name), join(to, name));
  }
  const path = join(to, "config.json");
  await Deno.writeTextFile(path, JSON.stringify(change(JSON.parse(await Deno.readTextFile(path)))));
  return to;
}

/** All files below a folder, by their paths in it, sorted; empty when it is not there. */
export async function filesIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (isDirectory) found.push(...(await filesIn(join(folder, name))).map((path) => join(name, path)));
      else found.push(name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort();
}
