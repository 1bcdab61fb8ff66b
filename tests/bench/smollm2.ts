/**
 * SmolLM2-135M on the CPU. Environment: `SMOLLM2` its folder; peers where they are installed: `SMOLLM2_PYTHON`, a Python with
 * torch and transformers; `NODE_LLAMA_CPP`, a folder with node_modules/node-llama-cpp, and `SMOLLM2_GGUF`, files of the same
 * model with commas between, the first in f16. {@linkcode https://www.npmjs.com/package/node-llama-cpp}
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { standard } from "../../cli/ui.ts";
import { best, FRESH, type Measured, ours, peer, PROMPT, type Rates, THREADS } from "./_rates.ts";
import { type Row, row } from "./row.ts";

const ROUNDS = 3;

function script(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** Bytes copied a second by one thread: the best of several copies of 64 MiB. */
function copyRate(): number {
  const from = new Float32Array(1 << 24), to = new Float32Array(from.length);
  let shortest = Infinity;
  for (let i = 0; i < 12; i++) {
    const begin = performance.now();
    to.set(from);
    shortest = Math.min(shortest, performance.now() - begin);
  }
  return from.byteLength / shortest * 1000;
}

async function readSeconds(path: string): Promise<number> {
  let shortest = Infinity;
  for (let i = 0; i < 3; i++) {
    const begin = performance.now();
    await Deno.readFile(path);
    shortest = Math.min(shortest, (performance.now() - begin) / 1000);
  }
  return shortest;
}

/** All by turns, several times. */
async function measure(all: readonly Measured[]): Promise<Rates[]> {
  const found: Rates[][] = all.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, one] of all.entries()) found[i]!.push(await one.measure());
  }
  return found.map(best);
}

function rates(
  what: string,
  own: Rates,
  { rates: other, against }: { rates: Rates; against: string },
): Row[] {
  return [
    row(`decode, ${what}`, { ours: own.decode, peer: other.decode, unit: "tokens/s", against }),
    row(`prefill ${PROMPT}, ${what}`, { ours: own.prefill, peer: other.prefill, unit: "tokens/s", against }),
  ];
}

/** The stored model by itself, and beside transformers. */
async function storedRows(folder: string, python: string | undefined): Promise<Row[]> {
  await using mine = await ours(folder);
  await using other = python === undefined ? null : peer(python, [
    script("smollm2_peer.py"),
    folder,
    ...[THREADS, PROMPT, FRESH].map(String),
  ]);
  const [own, theirs] = await measure(other ? [mine, other] : [mine]);
  const file = join(folder, "model.safetensors"), bytes = (await Deno.stat(file)).size;
  const one = await mine.rows(1), four = await mine.rows(4);
  return [
    ...(theirs ? rates("bf16", own!, { rates: theirs, against: "transformers f32" }) : []),
    row("weights read, bf16", {
      ours: bytes * own!.decode / 1e9,
      peer: copyRate() / 1e9,
      unit: "GB/s",
      against: "a copy, one thread",
    }),
    row("load, bf16", {
      ours: own!.load,
      peer: await readSeconds(file),
      unit: "s",
      against: "reading the file",
      less: true,
    }),
    row("a pass over 4 rows", { ours: four, peer: one, unit: "ms", against: "over 1 row", less: true }),
  ];
}

/** A GGUF file beside llama.cpp. */
async function ggufRows(file: string, llama: string | undefined): Promise<Row[]> {
  const type = /([A-Z]+\d*_?\w*)\.gguf$/.exec(file)?.[1] ?? file;
  await using mine = await ours(file);
  await using other = llama === undefined ? null : peer("node", [
    script("smollm2_peer.mjs"),
    file,
    ...[THREADS, PROMPT, FRESH].map(String),
  ], llama);
  const [own, theirs] = await measure(other ? [mine, other] : [mine]);
  return theirs ? rates(type, own!, { rates: theirs, against: `llama.cpp ${type}` }) : [];
}

/** Every figure there is a peer for. */
export async function smollm2Rows(): Promise<Row[]> {
  const [folder, python, llama] = ["SMOLLM2", "SMOLLM2_PYTHON", "NODE_LLAMA_CPP"].map((name) =>
    Deno.env.get(name)
  );
  const say = (text: string) => standard("stderr").write(`smollm2: ${text}\n`);
  if (folder === undefined) {
    say("absent: SMOLLM2 names no folder");
    return [];
  }
  if (python === undefined) say("transformers absent: SMOLLM2_PYTHON names no Python");
  if (llama === undefined) say("llama.cpp absent: NODE_LLAMA_CPP names no folder");
  const rows = await storedRows(folder, python);
  for (const file of Deno.env.get("SMOLLM2_GGUF")?.split(",") ?? []) {
    rows.push(...await ggufRows(file, llama));
  }
  return rows;
}
