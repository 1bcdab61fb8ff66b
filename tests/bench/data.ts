/** The data stage: tokenising beside the Python system, the vocabulary as a process, what capture costs, and memory. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { frequenciesBeside, writeFrequencies } from "../../core/data/frequencies.ts";
import { PythonRandom } from "../../core/data/random.ts";
import { openDataRecords } from "../../core/stages/_data_records.ts";
import { loadTextModel } from "../../core/text/mod.ts";
import { createRuntime, datagen, finish } from "../../mod.ts";
import { median, type Row, row } from "./row.ts";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const main = path("../../cli/main.ts"), verifier = path("../../examples/assets/tiny-verifier");
const dialogues = join(verifier, "dialogues.train.jsonl");
/** A Python with the Python system in it. */
const python = () => Deno.env.get("SPECULATORS_PYTHON") ?? Deno.env.get("PYTHON") ?? "python3";
const ABSENT = "not there: SPECULATORS_PYTHON names a Python with speculators";

/** What the data stage takes, beside the Python system where there is one, else beside its limits. */
export async function dataRows(): Promise<Row[]> {
  const folder = await Deno.makeTempDir();
  try {
    const at = (...parts: string[]) => join(folder, ...parts);
    await writeConversations(at("chats.jsonl"), 20_000);
    return [
      ...await tokenising(at),
      await vocabulary(at),
      await overhead(at),
      await memory(at),
    ];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

type At = (...parts: string[]) => string;

/** Conversations of one to three exchanges, of stretches of the dialogues' words. */
async function writeConversations(file: string, count: number): Promise<void> {
  interface Dialogue {
    readonly conversations: readonly { readonly value: string }[];
  }
  const lines = (await Deno.readTextFile(dialogues)).trimEnd().split("\n");
  const words = lines.flatMap((line) =>
    (JSON.parse(line) as Dialogue).conversations.flatMap(({ value }) => value.split(" "))
  );
  const random = new PythonRandom(1), written: string[] = [];
  for (let i = 0; i < count; i++) {
    const conversations = Array.from({ length: 2 * random.integer(1, 3) }, (_, turn) => {
      const asks = turn % 2 === 0, length = asks ? random.integer(3, 8) : random.integer(8, 60);
      const from = random.below(words.length - length);
      return { from: asks ? "human" : "gpt", value: words.slice(from, from + length).join(" ") };
    });
    written.push(JSON.stringify({ id: String(i), conversations }) + "\n");
  }
  await Deno.writeTextFile(file, written.join(""));
}

/** Conversations a second, on this thread alone and on all that may be taken. */
async function tokenising(at: At): Promise<Row[]> {
  const peer = runPython("bench_preprocess.py", verifier, at("chats.jsonl"), "2048");
  const theirs = peer === null ? null : JSON.parse(peer.out) as { seconds: number; tokens: number };
  const model = await loadTextModel(verifier), rows: Row[] = [];
  for (const [name, threads] of [["one thread", 0], ["other threads", undefined]] as const) {
    const some = threads === undefined ? {} : { numPreprocessingWorkers: threads };
    const start = performance.now();
    using records = await openDataRecords({ trainDataPath: [at("chats.jsonl")], ...some }, model);
    let tokens = 0;
    for await (const { found } of records.inOrder()) if (!("rejected" in found)) tokens += found.ids.length;
    const seconds = (performance.now() - start) / 1000;
    if (theirs && theirs.tokens !== tokens) throw new Error(`${tokens} tokens, ${theirs.tokens} in Python`);
    rows.push(row(`tokenise and mask 20 000 conversations, ${name}`, {
      ours: 20_000 / seconds,
      peer: theirs === null ? NaN : 20_000 / theirs.seconds,
      unit: "conversations/s",
      against: theirs === null ? ABSENT : "upstream, one process",
    }));
  }
  return rows;
}

/** Whole processes, in turn. */
async function vocabulary(at: At): Promise<Row> {
  const count = (id: number) => (Math.imul(id, 2654435761) >>> 8) % 100_000;
  await writeFrequencies(
    at("token_freq.pt"),
    new Map(Array.from({ length: 128_256 }, (_, id) => [id, count(id)])),
  );
  const ours: number[] = [], theirs: number[] = [];
  const sizes = ["--draft-vocab-size", "32000", "--target-vocab-size", "128256"];
  const args = ["vocab-map", "--token-freq-path", at("token_freq.pt"), ...sizes, "--quiet"];
  for (let i = 0; i < 3; i++) {
    const { seconds } = await run([...args, "--output-path", at("map")]);
    const peer = runPython("bench_vocabulary.py", at("token_freq.pt"), "32000", "128256", at("peer"));
    if (i > 0) { // the first fills caches
      ours.push(seconds);
      theirs.push(peer?.seconds ?? NaN);
    }
  }
  const absent = Number.isNaN(theirs[0]!);
  return row("vocabulary 128 256 to 32 000, a process", {
    ours: median(ours),
    peer: absent ? NaN : median(theirs),
    unit: "s",
    against: absent ? ABSENT : "upstream, a process",
    less: true,
  });
}

/** Share of the time of a capture in which the verifier does not compute. */
async function overhead(at: At): Promise<Row> {
  const shares: number[] = [];
  for (let i = 0; i < 3; i++) {
    const { seconds } = await finish(datagen({
      targetModelPath: verifier,
      trainDataPath: [dialogues],
      outputDir: at(`capture-${i}`),
      tokenFreqPath: at("token_freq.pt"),
      seqLength: 1024,
    }, await createRuntime({ device: "wasm" })));
    if (i > 0) shares.push(100 * (1 - seconds.verifier / seconds.total));
    await Deno.remove(at(`capture-${i}`), { recursive: true });
  }
  return row("capture: time beside the verifier's", {
    ours: median(shares),
    peer: 10,
    unit: "%",
    against: "the limit",
    less: true,
  });
}

/** The most memory of a run, beside that of its first half: what grows with samples would show. */
async function memory(at: At): Promise<Row> {
  const half = at("samples", "data_5000.pt");
  let before = 0;
  const { peak } = await run([
    ...["datagen", "--target-model-path", verifier, "--train-data-path", at("chats.jsonl"), "--quiet"],
    ...["--output-dir", at("samples"), "--token-freq-path", frequenciesBeside(at("samples"))],
    ...["--seq-length", "40", "--max-samples", "10000", "--device", "wasm", "--yes"],
    ...["--num-preprocessing-workers", "1"],
  ], (peak) => {
    if (before === 0 && existsSync(half)) before = peak;
  });
  await Deno.remove(at("samples"), { recursive: true });
  return row("datagen, 10 000 samples: peak memory", {
    ours: peak / 1e6,
    peer: before / 1e6,
    unit: "MB",
    against: "its first 5 000 samples",
    less: true,
  });
}

/** A command line as a process: how long it took, and the most memory that it had, where the system says it. */
async function run(
  args: readonly string[],
  watch: (peak: number) => void = () => {},
): Promise<{ seconds: number; peak: number }> {
  const start = performance.now();
  await using process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", main, ...args],
    stdout: "null",
  }).spawn();
  let running = true, peak = 0;
  const ended = process.status.then(({ code }) => {
    running = false;
    if (code !== 0) throw new Error(`${args[0]} ended with ${code}`);
  });
  while (running) {
    try {
      const found = /VmHWM:\s+(\d+) kB/.exec(Deno.readTextFileSync(`/proc/${process.pid}/status`));
      peak = Math.max(peak, Number(found?.[1] ?? 0) * 1024);
      watch(peak);
    } catch { /* it has ended, or the system says nothing */ }
    await Promise.race([ended, new Promise((go) => setTimeout(go, 20))]);
  }
  await ended;
  return { seconds: (performance.now() - start) / 1000, peak };
}

/** Runs a script with the Python system; `null` where there is none. */
function runPython(name: string, ...args: string[]): { out: string; seconds: number } | null {
  const start = performance.now();
  try {
    const { success, stdout } = new Deno.Command(python(), {
      args: [path(`../python/${name}`), ...args],
      stderr: "null",
    }).outputSync();
    const seconds = (performance.now() - start) / 1000;
    return success ? { out: new TextDecoder().decode(stdout).trimEnd().split("\n").at(-1)!, seconds } : null;
  } catch {
    return null; // there is no Python
  }
}
