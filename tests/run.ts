/**
 * Runs the tests and ends with one line, `N passed, N failed`. Behind `deno task test`:
 *
 *     deno task test [--golden] [PART_OF_PATH …] [--FLAG_OF_DENO_TEST …]
 *
 * @module
 */
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { brokenFiles, closingLine, countResults, type Counts } from "./_junit.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Folders without tests of the project. */
const SKIPPED = /^(?:\..*|node_modules|out|coverage|golden|assets|lib|target|rs)$/;

/** Files whose documentation has examples that are run. */
const DOCUMENTED = ["README.md", "mod.ts", "plugins/mod.ts", "kernels/mod.ts", "kernels/ops/mod.ts"];

/** What the tests need: files, a server and a client on this machine, `deno` itself, threads as the machine has. */
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-net",
  "--allow-run",
  "--allow-sys",
  "--allow-import",
];

async function main(args: readonly string[]): Promise<number> {
  const parts = args.filter((arg) => !arg.startsWith("-"));
  const flags = args.filter((arg) => arg.startsWith("-") && arg !== "--golden");
  const files = await chosenFiles(parts, args.includes("--golden"));
  if (files.length === 0) return conclude({ passed: 0, failed: 0, skipped: 0 });
  const folder = await Deno.makeTempDir({ prefix: "tests-" });
  try {
    const report = join(folder, "report.xml");
    const command = new Deno.Command(Deno.execPath(), {
      args: ["test", "--no-check", "--doc", ...PERMISSIONS, `--junit-path=${report}`, ...flags, ...files],
      cwd: ROOT,
      env: environment(folder),
      stdin: "null",
      stdout: "piped",
    });
    const child = command.spawn();
    const output = await forward(child.stdout);
    const { code } = await child.status;
    const counts = countResults(await Deno.readTextFile(report).catch(() => ""));
    return conclude(withBroken(counts, { code, broken: brokenFiles(output).size }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Prints a stream as it comes and gives it as a text. */
async function forward(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stream) {
    for (let done = 0; done < bytes.length;) done += await Deno.stdout.write(bytes.subarray(done));
    text += decoder.decode(bytes, { stream: true });
  }
  return text;
}

/** A process may fail where no test did. */
function withBroken(counts: Counts, end: { readonly code: number; readonly broken: number }): Counts {
  const failed = counts.failed + end.broken;
  if (end.code === 0 || failed > 0) return { ...counts, failed };
  print(`deno test ended with code ${end.code} outside of a test: see above`);
  return { ...counts, failed: 1 };
}

function conclude(counts: Counts): number {
  if (counts.passed + counts.failed === 0) print("No test ran");
  print(closingLine(counts));
  return counts.failed > 0 || counts.passed === 0 ? 1 : 0;
}

function environment(folder: string): Record<string, string> {
  const env: Record<string, string> = Deno.stdout.isTerminal() ? { FORCE_COLOR: "1" } : {};
  // Mesa warns on each device without one.
  if (!Deno.env.get("XDG_RUNTIME_DIR")) env["XDG_RUNTIME_DIR"] = folder;
  // A task runs in the project's folder, the person may have been in another.
  const goldens = Deno.env.get("GOLDENS");
  if (goldens) env["GOLDENS"] = resolve(Deno.env.get("INIT_CWD") ?? Deno.cwd(), goldens);
  return env;
}

async function chosenFiles(parts: readonly string[], goldenOnly: boolean): Promise<string[]> {
  const files: string[] = [];
  for await (const file of testFiles(ROOT)) {
    const chosen = parts.length === 0 || parts.some((part) => file.includes(part));
    if (chosen && (!goldenOnly || await readsGoldens(file))) files.push(file);
  }
  return files.sort();
}

async function* testFiles(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    const file = relative(ROOT, path).replaceAll("\\", "/");
    if (isDirectory && !SKIPPED.test(name)) yield* testFiles(path);
    else if (!isDirectory && (name.endsWith("_test.ts") || DOCUMENTED.includes(file))) yield file;
  }
}

/** Golden tests are those that ask `tests/golden.ts` where the files are, or `tests/verifier_cases.ts`. */
async function readsGoldens(file: string): Promise<boolean> {
  return file.endsWith("_test.ts") &&
    /from "[./]+(?:tests\/)?(?:golden|verifier_cases)\.ts"/.test(await Deno.readTextFile(join(ROOT, file)));
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (import.meta.main) Deno.exit(await main(Deno.args));
