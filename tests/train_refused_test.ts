/** Training that cannot go well is refused before anything is computed; a full disk costs the newest checkpoint alone. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openSampleStore } from "../core/data/store.ts";
import {
  createRuntime,
  datagen,
  type DatagenOptions,
  finish,
  readJson,
  train,
  type TrainOptions,
  vocabMap,
  writeJsonAtomic,
} from "../mod.ts";
import { copyModel, DIALOGUES, filesIn, inFolder, VERIFIER } from "./cli.ts";

type At = (...parts: string[]) => string;

async function samples(at: At, more: Partial<DatagenOptions> = {}): Promise<void> {
  await finish(datagen({
    ...{ targetModelPath: VERIFIER, trainDataPath: [DIALOGUES], outputDir: at("data") },
    ...{ tokenFreqPath: at("token_freq.pt"), maxSamples: 6, seqLength: 48, ...more },
  }, await createRuntime({ device: "wasm" })));
}

async function mapping(at: At, name: string, draftVocabSize: number): Promise<Partial<TrainOptions>> {
  const { paths } = await finish(vocabMap({
    ...{ tokenFreqPath: [at("token_freq.pt")], draftVocabSize, targetModelPath: VERIFIER },
    outputPath: at(name),
  }, await createRuntime({ device: "wasm" })));
  return { d2tPath: paths.d2t, t2dPath: paths.t2d };
}

/** Trains for an epoch; `computed` says whether a device was opened. */
async function run(at: At, more: Partial<TrainOptions> = {}) {
  const runtime = await createRuntime({ device: "wasm" }), seen = { computed: false };
  const watched = {
    ...runtime,
    openBackend: () => {
      seen.computed = true;
      return runtime.openBackend();
    },
  };
  const options: TrainOptions = {
    ...{
      verifierNameOrPath: VERIFIER,
      dataPath: [at("data")],
      savePath: at("run"),
      epochs: 1,
      totalSeqLen: 100,
    },
    ...more,
  };
  return { seen, result: finish(train(options, watched)) };
}

/** What is refused must not have been begun. */
async function refused(at: At, more: Partial<TrainOptions>, message: RegExp): Promise<void> {
  const { result, seen } = await run(at, more);
  await assert.rejects(result, (error: Error & { hint?: string }) => {
    assert.match(error.message, message);
    assert.ok(error.hint === undefined || error.hint.length > 10);
    return true;
  });
  assert.equal(seen.computed, false);
}

Deno.test("samples of another verifier are refused, by their width, their tokens or the model they name", async () => {
  await inFolder(async (at) => {
    await samples(at);
    const path = at("data", "data_config.json");
    const config = await readJson(path) as { model: Record<string, unknown> };
    await writeJsonAtomic(path, { ...config, model: { ...config.model, hidden_size: 64 } });
    await refused(at, {}, /data": expected states of width 192, received 64, of /);
    const other = await copyModel(VERIFIER, at("other"), (found) => ({ ...found, rope_theta: 5 }));
    await writeJsonAtomic(path, { ...config, model: { ...config.model, target_model_path: other } });
    await refused(at, {}, /data": expected samples of .*tiny-verifier, received those of .*other/);
    await writeJsonAtomic(path, config);
    const store = await openSampleStore(at("data")), [first, second] = await store.list();
    const sample = await store.read(first!);
    sample.inputIds[1] = 5000;
    for (const index of [first!, second!]) await store.write(index, sample);
    await Deno.remove(at("data", "sample_lengths.json")).catch(() => {});
    await assert.rejects((await run(at)).result, {
      code: "E_CONFIG",
      message: /data_\d+\.pt": expected tokens of the verifier, below 2048, received 5000/,
    });
  });
});

Deno.test("samples of several widths are refused by the file that differs", async () => {
  await inFolder(async (at) => {
    await samples(at);
    const store = await openSampleStore(at("data")), indices = await store.list();
    const narrow = async (index: number) => {
      const sample = await store.read(index), rows = sample.inputIds.length;
      const hidden = sample.hidden.map(({ bytes, dtype }) => ({
        dtype,
        shape: [rows, 96],
        bytes: bytes.slice(0, bytes.length / 2),
      }));
      await store.write(index, { ...sample, hidden });
    };
    for (const index of indices.slice(1)) await narrow(index);
    await assert.rejects((await run(at)).result, {
      code: "E_CONFIG",
      message: /data_\d+\.pt": expected .*width 192/,
    });
    await narrow(indices[0]!);
    await refused(at, {}, /data_\d+\.pt": expected 4 layers of width 192, received 4 layers of width 96/);
  });
});

Deno.test("settings that cannot be used are refused before anything is computed", async () => {
  await inFolder(async (at) => {
    await samples(at);
    for (const lr of [0, -1, NaN]) await refused(at, { lr }, /"lr": expected a number above 0/);
    await Deno.mkdir(at("none"));
    await refused(
      at,
      { valDataPath: [at("none")] },
      /none": expected samples named data_\{i\}.*received none/,
    );
    await samples(at, { outputDir: at("one"), tokenFreqPath: at("one.pt"), maxSamples: 1 });
    await refused(
      at,
      { dataPath: [at("one")] },
      /expected samples to train on, received 0|received 1 to validate on/,
    );
    await refused(at, { trainDataRatio: 0 }, /expected samples to train on, received \d to validate on/);
    await refused(at, { schedulerType: "step" as never }, /expected one of linear, cosine/);
    await refused(at, { checkpointFreq: 1.5 }, /checkpointFreq.*received 1\.5/);
    const small = await mapping(at, "small", 48), large = await mapping(at, "large", 64);
    const { result } = await run(at, small);
    const { checkpoint } = await result;
    await refused(
      at,
      { ...large, epochs: 1 },
      /large.*d2t\.npy": expected 48 entries, the draft's vocabulary, received 64/,
    );
    await refused(
      at,
      { ...large, savePath: at("further"), fromPretrained: checkpoint },
      /expected 48 entries, the draft's vocabulary, received 64/,
    );
    await samples(at, { outputDir: at("more"), tokenFreqPath: at("more.pt"), maxSamples: 9 });
    await refused(
      at,
      { ...small, dataPath: [at("more")] },
      /expected the samples that it was trained on, received others/,
    );
    const state = join(checkpoint, "training_state.json");
    await writeJsonAtomic(state, { ...await readJson(state) as object, version: 3 });
    const { result: newer } = await run(at, small);
    await assert.rejects(newer, (error: Error & { hint?: string }) => {
      assert.match(error.message, /expected version 2 of the training state, received 3/);
      assert.match(error.hint!, /newer version of this program/);
      return true;
    });
  });
});

Deno.test("training goes further from a speculator, from its weights or from its config alone", async () => {
  await inFolder(async (at) => {
    await samples(at);
    const first = await (await run(at, await mapping(at, "vocab", 48))).result;
    const from = { savePath: at("further"), fromPretrained: first.checkpoint, lr: 1e-30, weightDecay: 0 };
    const further = await (await run(at, from)).result;
    const weights = (folder: string) => Deno.readFile(join(folder, "model.safetensors"));
    assert.deepEqual(await weights(further.checkpoint), await weights(first.checkpoint));
    await Deno.mkdir(at("bare"));
    await Deno.copyFile(join(first.checkpoint, "config.json"), at("bare", "config.json"));
    const bare = {
      ...from,
      ...await mapping(at, "vocab", 48),
      savePath: at("anew"),
      fromPretrained: at("bare"),
    };
    const anew = await (await run(at, bare)).result;
    assert.deepEqual(
      await Deno.readFile(join(anew.checkpoint, "config.json")),
      await Deno.readFile(join(first.checkpoint, "config.json")),
    );
  });
});

async function mount(folder: string, ...args: string[]): Promise<boolean> {
  const command = new Deno.Command("mount", {
    args: ["-t", "tmpfs", ...args, "tmpfs", folder],
    stderr: "null",
  });
  return await command.output().then(({ success }) => success, () => false);
}

const root = Deno.build.os === "linux" && Deno.uid() === 0;

Deno.test({
  name: "a disk that is full at a checkpoint leaves the last one, and training goes on from it" +
    (root ? "" : " (needs to be root on Linux, to make a small disk)"),
  ignore: !root,
  fn: (t) =>
    inFolder(async (at) => {
      await samples(at);
      const small = await mapping(at, "vocab", 48);
      const whole = await (await run(at, { ...small, savePath: at("whole"), epochs: 3 })).result;
      const sizes = await Promise.all(
        (await filesIn(whole.checkpoint)).map(async (name) =>
          (await Deno.stat(join(whole.checkpoint, name))).size
        ),
      );
      const size = sizes.reduce((a, b) => a + b, 0);
      await Deno.mkdir(at("disk"));
      const mounted = await mount(at("disk"), "-o", `size=${Math.round(1.5 * size)}`);
      await t.step({
        name: "on a small disk" + (mounted ? "" : " (which cannot be mounted here)"),
        ignore: !mounted,
        async fn() {
          try {
            const options = { ...small, savePath: at("disk", "run"), epochs: 3 };
            await assert.rejects((await run(at, options)).result, {
              code: "E_WRITE",
              message: /run\/1": expected to write a checkpoint whole/,
            });
            const left = (await Array.fromAsync(Deno.readDir(options.savePath), ({ name }) => name)).sort();
            assert.deepEqual(left, ["0", "checkpoint_best", "provenance.json"]);
            await new Deno.Command("mount", { args: ["-o", `remount,size=${5 * size}`, at("disk")] })
              .output();
            const { checkpoint } = await (await run(at, options)).result;
            for (const name of ["model.safetensors", "optimizer_state_dict.pt"]) {
              assert.deepEqual(
                await Deno.readFile(join(checkpoint, name)),
                await Deno.readFile(join(whole.checkpoint, name)),
              );
            }
          } finally {
            await new Deno.Command("umount", { args: [at("disk")] }).output();
          }
        },
      });
    }),
});
