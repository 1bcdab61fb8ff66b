/**
 * A data set made here, read by the Python system's own code, where there is a Python with `torch` and `speculators`:
 * `PYTHON` names it, else it is `python3`.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { packBatch } from "../core/data/batch.ts";
import { openSampleStore } from "../core/data/store.ts";
import { createRuntime, datagen, finish } from "../mod.ts";
import { DIALOGUES, inFolder, VERIFIER } from "./cli.ts";

const PYTHON = Deno.env.get("PYTHON") ?? "python3";
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
    (there ? "" : " (there is no Python with torch and speculators; PYTHON names one)"),
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
