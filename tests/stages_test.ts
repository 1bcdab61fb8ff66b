/** The stages on a handful of conversations: resuming, stopping, and what is refused. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openSampleStore } from "../core/data/store.ts";
import { latestCheckpoint } from "../core/stages/_checkpoint_folder.ts";
import {
  createRuntime,
  datagen,
  type DatagenOptions,
  finish,
  type Runtime,
  train,
  type TrainOptions,
  validate,
  vocabMap,
} from "../mod.ts";

const VERIFIER = fileURLToPath(new URL("../examples/assets/tiny-verifier", import.meta.url));
const DIALOGUES = join(VERIFIER, "dialogues.held-out.jsonl");

/** A folder that is gone after the test. */
async function inFolder(run: (at: (...parts: string[]) => string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run((...parts) => join(folder, ...parts));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function data(at: (...parts: string[]) => string, more: Partial<DatagenOptions> = {}): DatagenOptions {
  return {
    targetModelPath: VERIFIER,
    trainDataPath: [DIALOGUES],
    outputDir: at("data"),
    tokenFreqPath: at("token_freq.pt"),
    maxSamples: 8,
    seqLength: 64,
    batchTokens: 128,
    ...more,
  };
}

/** Samples and a vocabulary mapping to train on. */
async function prepare(at: (...parts: string[]) => string, runtime: Runtime): Promise<TrainOptions> {
  await finish(datagen(data(at), runtime));
  const map = await finish(vocabMap({
    tokenFreqPath: [at("token_freq.pt")],
    draftVocabSize: 64,
    targetModelPath: VERIFIER,
    outputPath: at("vocab"),
  }, runtime));
  return {
    verifierNameOrPath: VERIFIER,
    dataPath: [at("data")],
    savePath: at("checkpoints"),
    d2tPath: map.paths.d2t,
    t2dPath: map.paths.t2d,
    epochs: 2,
    lr: 1e-3,
    totalSeqLen: 128,
  };
}

async function contents(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const entry of Deno.readDir(folder)) {
    const bytes = await Deno.readFile(join(folder, entry.name));
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    found.set(entry.name, new Uint8Array(digest).toHex());
  }
  return new Map([...found].sort());
}

Deno.test("datagen goes on where it was stopped, and makes the same samples", async () => {
  await inFolder(async (at) => {
    const stop = new AbortController(),
      stopped = await createRuntime({ device: "wasm", signal: stop.signal });
    const whole = await finish(
      datagen(data(at, { outputDir: at("whole") }), await createRuntime({ device: "wasm" })),
    );
    assert.equal(whole.samples, 8);
    await assert.rejects(
      finish(datagen(data(at), stopped), (event) => {
        if (event.type === "progress") stop.abort();
      }),
      { code: "E_ABORTED" },
    );
    const before = await (await openSampleStore(at("data"))).list();
    assert.ok(before.length > 0 && before.length < 8, `${before.length} samples when stopped`);
    const resumed = await finish(datagen(data(at), await createRuntime({ device: "wasm" })));
    assert.deepEqual([resumed.samples, resumed.fresh], [8, 8 - before.length]);
    const [a, b] = [await contents(at("whole")), await contents(at("data"))];
    assert.deepEqual(
      [...a].filter(([name]) => name !== "data_config.json"),
      [...b].filter(([name]) => name !== "data_config.json"),
    );
    const again = await finish(datagen(data(at), await createRuntime({ device: "wasm" })));
    assert.deepEqual([again.samples, again.fresh, again.tokens], [8, 0, whole.tokens]);
  });
});

Deno.test("datagen refuses to mix samples of different settings", async () => {
  await inFolder(async (at) => {
    const runtime = await createRuntime({ device: "wasm" });
    await finish(datagen(data(at, { maxSamples: 1 }), runtime));
    await assert.rejects(
      finish(datagen(data(at, { seqLength: 32 }), runtime)),
      /seqLength.*expected 64.*received 32/,
    );
    await assert.rejects(
      finish(datagen(data(at, { layerIds: [99] }), runtime)),
      /expected ids from 0 to 8, received 99/,
    );
    await assert.rejects(
      finish(datagen(data(at, { trainDataPath: [at("none.jsonl")] }), runtime)),
      /none\.jsonl/,
    );
  });
});

Deno.test("training that was stopped after an epoch ends with the same bytes", async () => {
  await inFolder(async (at) => {
    const stop = new AbortController(),
      stopped = await createRuntime({ device: "wasm", signal: stop.signal });
    const runtime = await createRuntime({ device: "wasm" }), options = await prepare(at, runtime);
    const whole = await finish(train({ ...options, savePath: at("whole") }, runtime));
    await assert.rejects(
      finish(train(options, stopped), (event) => {
        if (event.type === "metrics" && event.epoch === 1) stop.abort();
      }),
      { code: "E_ABORTED" },
    );
    const left = await Array.fromAsync(Deno.readDir(at("checkpoints")), ({ name }) => name);
    assert.deepEqual(left.sort(), ["0", "checkpoint_best", "provenance.json"]);
    const resumed = await finish(train(options, runtime));
    assert.equal(resumed.steps, whole.steps);
    assert.deepEqual(await contents(resumed.checkpoint), await contents(whole.checkpoint));
    // vLLM takes every safetensors file of a folder for the model's.
    assert.deepEqual([...(await contents(whole.checkpoint)).keys()], [
      "config.json",
      "model.safetensors",
      "optimizer_state_dict.pt",
      "scheduler_state_dict.pt",
      "training_state.json",
      "val_metrics.json",
    ]);
    const { decoded, problems } = await finish(
      validate({ path: whole.checkpoint, verifier: VERIFIER }, runtime),
    );
    assert.deepEqual(problems, []);
    assert.ok(decoded!.tokens > 0);
    await assert.rejects(
      finish(train({ ...options, lr: 1 }, runtime)),
      /expected lr = 0.001 as before, received 1/,
    );
  });
});

Deno.test("a loss that is not finite stops the training, names the file and keeps the last checkpoint", async () => {
  await inFolder(async (at) => {
    const runtime = await createRuntime({ device: "wasm" }), options = await prepare(at, runtime);
    const first = await finish(train({ ...options, epochs: 1 }, runtime)),
      kept = await contents(first.checkpoint);
    const store = await openSampleStore(at("data"));
    for (const index of await store.list()) {
      const sample = await store.read(index);
      sample.hidden[0]!.bytes.fill(0xff); // bf16 NaN
      await store.write(index, sample);
    }
    const broken = train({ ...options, epochs: 1, savePath: at("broken") }, runtime);
    await assert.rejects(finish(broken), (error: Error & { code?: string }) => {
      assert.equal(error.code, "E_NUMERIC");
      assert.match(error.message, /data_\d+\./);
      return true;
    });
    assert.equal(await latestCheckpoint(at("broken")), null);
    assert.deepEqual(await contents(first.checkpoint), kept);
  });
});

Deno.test("training refuses what does not fit before it computes", async () => {
  await inFolder(async (at) => {
    const runtime = await createRuntime({ device: "wasm" }), options = await prepare(at, runtime);
    const refused = (more: Partial<TrainOptions>, message: RegExp) =>
      assert.rejects(finish(train({ ...options, ...more }, runtime)), message);
    await refused({ lr: 0 }, /lr.*above 0, received 0/);
    await refused({ dataPath: [at("nothing")] }, /nothing/);
    await refused({ verifierNameOrPath: at("nowhere") }, /nowhere/);
    await refused({ speculatorType: "eagle9" }, /eagle9.*eagle3|eagle3.*eagle9/s);
    const { t2dPath: _, ...without } = options;
    await assert.rejects(finish(train(without, runtime)), /both d2t and t2d/);
    await finish(datagen(data(at, { outputDir: at("other"), layerIds: [2, 4], maxSamples: 3 }), runtime));
    await refused({ dataPath: [at("other")] }, /expected 4 layers of width 192, received 3 layers/);
  });
});

Deno.test("samples of the Python system are trained on by the states that they hold", async () => {
  await inFolder(async (at) => {
    const runtime = await createRuntime({ device: "wasm" }), options = await prepare(at, runtime);
    const folder = at("upstream");
    await finish(datagen(data(at, { outputDir: folder, layerIds: [3, 5, 6, 8] }), runtime));
    // Its layout counts what leaves a layer, and does not say so.
    const config = JSON.parse(await Deno.readTextFile(join(folder, "data_config.json")));
    config.hidden_states = { layer_ids: [2, 4, 5, 7], description: config.hidden_states.description };
    await Deno.writeTextFile(join(folder, "data_config.json"), JSON.stringify(config));
    const notes: string[] = [];
    const { checkpoint } = await finish(
      train({ ...options, dataPath: [folder], epochs: 1 }, runtime),
      (event) => event.type === "note" && notes.push(event.text),
    );
    const saved = JSON.parse(await Deno.readTextFile(join(checkpoint, "config.json")));
    assert.deepEqual(saved.eagle_aux_hidden_state_layer_ids, [3, 5, 6]);
    assert.match(notes.join(), /reads the states 3, 5, 6 .*which the samples hold/);
    const others = { ...options, dataPath: [folder], savePath: at("others"), draft: { layerIds: [2, 4, 5] } };
    await assert.rejects(finish(train(others, runtime)), {
      code: "E_CONFIG",
      message: /upstream": expected the states 2, 4, 5, 8 that the draft reads, received 3, 5, 6, 8/,
    });
  });
});
