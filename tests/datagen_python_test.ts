/**
 * A data set made here, read by the Python system's own code, where there is a Python with `torch` and `speculators`:
 * `SPECULATORS_PYTHON` or `PYTHON` names it, else it is `python3`.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { packBatch } from "../core/data/batch.ts";
import type { Sample } from "../core/data/sample.ts";
import { openSampleStore } from "../core/data/store.ts";
import { writeSamples } from "../core/data/write_samples.ts";
import { createRuntime, datagen, finish } from "../mod.ts";
import { DIALOGUES, inFolder, VERIFIER } from "./cli.ts";

const PYTHON = Deno.env.get("SPECULATORS_PYTHON") ?? Deno.env.get("PYTHON") ?? "python3";
const SCRIPT = fileURLToPath(new URL("./python/read_samples.py", import.meta.url));
const MAX_LENGTH = 512;

function run(...args: string[]): { success: boolean; text: string } {
  try {
    const { success, stderr } = new Deno.Command(PYTHON, { args, stderr: "piped", stdout: "null" })
      .outputSync();
    return { success, text: new TextDecoder().decode(stderr) };
  } catch {
    return { success: false, text: "no Python" };
  }
}

const CHECK =
  "import importlib.util as u, sys; sys.exit(not (u.find_spec('torch') and u.find_spec('speculators')))";
const there = run("-c", CHECK).success;

Deno.test({
  name: "the Python system reads samples made here as its own" +
    (there ? "" : " (there is no Python with torch and speculators; SPECULATORS_PYTHON names one)"),
  ignore: !there,
  fn: () =>
    inFolder(async (at) => {
      await finish(datagen({
        targetModelPath: VERIFIER,
        trainDataPath: [DIALOGUES],
        outputDir: at("data"),
        tokenFreqPath: at("token_freq.pt"),
        maxSamples: 5,
      }, await createRuntime({ device: "wasm" })));
      await Deno.mkdir(at("found"));
      const read = run(SCRIPT, at("data"), String(MAX_LENGTH), at("found"));
      assert.ok(read.success, read.text);
      const found = JSON.parse(await Deno.readTextFile(at("found", "batch.json")));
      const store = await openSampleStore(at("data")), indices = await store.list();
      assert.deepEqual(found.files, indices.map((index) => `data_${index}.pt`));
      assert.deepEqual(found.approx_lengths, [...(await store.lengths()).values()]);
      const samples = await Promise.all(indices.map((index) => store.read(index)));
      const ours = packBatch(samples, { maxLength: MAX_LENGTH, pad: MAX_LENGTH });
      const bytes = async (name: string) => (await Deno.readFile(at("found", `${name}.bin`))).buffer;
      const longs = async (name: string) => [...new BigInt64Array(await bytes(name))].map(Number);
      assert.deepEqual(await longs("input_ids"), [...ours.tokens]);
      assert.deepEqual(await longs("loss_mask"), [...ours.lossMask]);
      assert.deepEqual(await longs("position_ids"), [...ours.positions]);
      assert.deepEqual(await longs("lengths"), ours.lengths);
      assert.deepEqual(new Float32Array(await bytes("hidden_states")), ours.hidden);
      assert.deepEqual(new Float32Array(await bytes("verifier_last_hidden_states")), ours.last);
    }),
});

const LOAD = "import sys, torch; a, b = (torch.load(path, weights_only=True) for path in sys.argv[1:]); " +
  "same = torch.equal; assert a.keys() == b.keys() and same(a['input_ids'], b['input_ids']); " +
  "assert all(map(same, a['hidden_states'], b['hidden_states'])) and len(a['hidden_states']) == 3";

Deno.test({
  name: "torch unpacks packed samples" +
    (there ? "" : " (there is no Python with torch; SPECULATORS_PYTHON names one)"),
  ignore: !there,
  fn: () =>
    inFolder(async (at) => {
      const sample = sampleOf(500), options = { ending: "pt", dtype: "f32" } as const;
      const write = (name: string, compress: "none" | "deflate") =>
        writeSamples([{ index: 0, sample }], { ...options, folder: at(name), compress });
      await write("plain", "none");
      await write("packed", "deflate");
      const loaded = run("-c", LOAD, at("plain", "data_0.pt"), at("packed", "data_0.pt"));
      assert.ok(loaded.success, loaded.text);
    }),
});

function sampleOf(tokens: number): Sample {
  const state = () => new Uint8Array(Float32Array.from({ length: 8 * tokens }, (_, i) => i % 100).buffer);
  return {
    inputIds: Int32Array.from({ length: tokens }, (_, t) => t),
    lossMask: new Uint8Array(tokens).fill(1),
    hidden: [0, 1, 2].map(() => ({ shape: [tokens, 8], dtype: "f32", bytes: state() })),
  };
}
