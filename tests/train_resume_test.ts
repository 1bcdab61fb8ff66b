/** A training run that is stopped, killed or fed broken samples: what it ends with, and what it leaves. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { PythonRandom } from "../core/data/random.ts";
import { openSampleStore } from "../core/data/store.ts";
import {
  createRuntime,
  datagen,
  finish,
  type MetricsEvent,
  type StageEvent,
  train,
  type TrainOptions,
  vocabMap,
} from "../mod.ts";
import { cliProcess, DIALOGUES, filesIn, inFolder, VERIFIER } from "./cli.ts";
import { devices } from "./devices.ts";

type At = (...parts: string[]) => string;

/** Samples and a vocabulary mapping to train on. */
async function prepare(at: At, device: "wasm" | "webgpu" = "wasm"): Promise<TrainOptions> {
  const runtime = await createRuntime({ device });
  await finish(datagen({
    targetModelPath: VERIFIER,
    trainDataPath: [DIALOGUES],
    outputDir: at("data"),
    tokenFreqPath: at("token_freq.pt"),
    maxSamples: 10,
    seqLength: 48,
  }, runtime));
  const { paths } = await finish(vocabMap({
    tokenFreqPath: [at("token_freq.pt")],
    draftVocabSize: 64,
    targetModelPath: VERIFIER,
    outputPath: at("vocab"),
  }, runtime));
  return {
    verifierNameOrPath: VERIFIER,
    dataPath: [at("data")],
    savePath: at("run"),
    d2tPath: paths.d2t,
    t2dPath: paths.t2d,
    epochs: 3,
    lr: 1e-3,
    totalSeqLen: 100,
    saveSteps: 1,
    draft: { numLayers: 1, normBeforeResidual: true },
  };
}

/** Trains, and gives the events beside the result. */
async function run(options: TrainOptions) {
  const events: StageEvent[] = [];
  const result = await finish(
    train(options, await createRuntime({ device: "wasm" })),
    (event) => events.push(event),
  );
  const metrics = events.filter((event): event is MetricsEvent => event.type === "metrics");
  const notes = events.flatMap((event) => event.type === "note" ? [event.text] : []);
  return { result, metrics, notes };
}

/** SHA-256 of each file of a folder. */
async function digests(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of await filesIn(folder)) {
    const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(join(folder, name)));
    found[name] = new Uint8Array(digest).toHex();
  }
  return found;
}

/** Kills a training at random moments and starts it again, until it has been killed often enough or is done. */
async function killed(
  args: readonly string[],
  random: PythonRandom,
  { kills, moments: [first, last], onKill }: {
    readonly kills: number;
    /** When it may be, in milliseconds. */
    readonly moments: readonly [number, number];
    onKill(): Promise<void>;
  },
): Promise<number> {
  let done = 0;
  for (; done < kills; done++) {
    await using child = cliProcess(args).spawn();
    const rest = Promise.all([child.stdout.cancel(), new Response(child.stderr).text()]);
    const timer = setTimeout(() => child.kill("SIGKILL"), random.integer(first, last));
    const { code } = await child.status;
    clearTimeout(timer);
    const [, err] = await rest;
    if (code === 0) return done;
    assert.equal(code, 137, err);
    await onKill();
  }
  return done;
}

/** Names of what is in a folder; none where it is not there. */
async function namesIn(folder: string): Promise<string[]> {
  return await Array.fromAsync(Deno.readDir(folder), ({ name }) => name).catch(() => []);
}

for (
  const { between, epochs, name, kills } of [{ name: "wasm", kills: 20, epochs: 24, between: [0.12, 0.3] }, {
    name: "webgpu",
    kills: 4,
    epochs: 4,
    between: [0.35, 0.7],
  }] as const
) {
  const there = devices().some((device) => device.name === name && device.skip === undefined);
  Deno.test({
    name: `training killed ${kills} times ends with the bytes of an undisturbed run (${name})`,
    ignore: !there || Deno.build.os === "windows",
    fn: () =>
      inFolder(async (at) => {
        const options = await prepare(at);
        const args = (savePath: string) => [
          ...[
            "train",
            "--verifier-name-or-path",
            VERIFIER,
            "--data-path",
            at("data"),
            "--save-path",
            savePath,
          ],
          ...[
            "--d2t-path",
            options.d2tPath!,
            "--t2d-path",
            options.t2dPath!,
            "--epochs",
            String(epochs),
            "--lr",
            "1e-3",
          ],
          ...["--total-seq-len", "100", "--save-steps", "1", "--keep", "1", "--device", name, "--quiet"],
        ];
        const start = performance.now();
        const whole = await cliProcess(args(at("whole"))).output();
        assert.equal(whole.code, 0, new TextDecoder().decode(whole.stderr));
        const last = String(epochs - 1),
          wanted = await digests(at("whole", last)),
          random = new PythonRandom(7);
        const duration = performance.now() - start;
        let within = 0;
        for (let left: number = kills, round = 0; left > 0; round++) {
          const folder = at(`run_${round}`);
          left -= await killed(args(folder), random, {
            kills: left,
            moments: between.map((share) => Math.round(share * duration)) as [number, number],
            async onKill() {
              const names = await namesIn(folder);
              if (names.some((name) => /^\d/.test(name)) && !names.includes(last)) within++;
            },
          });
          const end = await cliProcess(args(folder)).output();
          assert.equal(end.code, 0, new TextDecoder().decode(end.stderr));
          assert.deepEqual(await digests(join(folder, last)), wanted);
          const names = await namesIn(folder);
          assert.ok(names.every((name) => !/\.(partial|old|tmp)$/.test(name)), names.join());
        }
        assert.ok(within > kills / 4, `${within} of ${kills} kills fell between the first step and the last`);
      }),
  });
}

Deno.test("training goes on within an epoch, to the same bytes, and says where", async () => {
  await inFolder(async (at) => {
    const options = await prepare(at);
    const { result: whole } = await run({ ...options, savePath: at("whole") });
    assert.ok(whole.steps >= 9, `${whole.steps} steps`);
    const cut = await run({ ...options, maxSteps: 5 });
    assert.match(cut.result.checkpoint, /1\.\d$/);
    const { result, notes } = await run(options);
    assert.match(notes.join(), /goes on from .*1\.\d, with epoch 2 of 3, after \d batches of it/);
    assert.equal(result.tokens + cut.result.tokens, whole.tokens);
    assert.deepEqual(await digests(result.checkpoint), await digests(whole.checkpoint));
    assert.deepEqual(result.validation, whole.validation);
    assert.equal(result.best, at("run", String(/\d+$/.exec(whole.best!)?.[0])));
    const left = (await Array.fromAsync(Deno.readDir(at("run")), ({ name }) => name)).sort();
    assert.deepEqual(left, ["0", "1", "2", "checkpoint_best", "provenance.json"]);
    const { calls } = JSON.parse(await Deno.readTextFile(at("run", "provenance.json")));
    assert.deepEqual(calls.map((call: { from: unknown }) => call.from), [null, cut.result.checkpoint]);
    assert.equal(calls[0].settings.seed, 42);
  });
});

Deno.test("the newest checkpoints and the best stay, those of an earlier run are set aside", async () => {
  await inFolder(async (at) => {
    const options = await prepare(at);
    const { result } = await run({ ...options, keep: 1, epochs: 4 });
    const names = async (...folder: string[]) =>
      (await Array.fromAsync(Deno.readDir(at(...folder)), ({ name }) => name)).sort();
    const best = result.best!.slice(-1);
    assert.deepEqual(
      await names("run"),
      [...new Set([best, "3"]), "checkpoint_best", "provenance.json"].sort(),
    );
    assert.equal(await Deno.readLink(at("run", "checkpoint_best")), best);
    const { notes } = await run({ ...options, epochs: 1, resume: false });
    assert.match(notes.join(), /earlier run are now in .*earlier_1/);
    assert.deepEqual(await names("run", "earlier_1"), [...new Set([best, "3"]), "checkpoint_best"].sort());
    assert.deepEqual(await names("run"), ["0", "checkpoint_best", "earlier_1", "provenance.json"]);
  });
});

/** Makes the states of all samples NaN. */
async function breakSamples(folder: string): Promise<void> {
  const store = await openSampleStore(folder);
  for (const index of await store.list()) {
    const sample = await store.read(index);
    sample.hidden[0]!.bytes.fill(0xff); // bf16 NaN
    await store.write(index, sample);
  }
}

Deno.test("a batch whose loss is not finite changes nothing, and is left out when that is asked for", async () => {
  await inFolder(async (at) => {
    const options = { ...await prepare(at), epochs: 1, noiseStd: 0, schedulerType: "none" } as const;
    await breakSamples(at("data"));
    const { result, metrics, notes } = await run({ ...options, skipBadBatches: true });
    assert.equal(result.skippedBatches, result.steps);
    assert.equal(metrics.filter(({ split }) => split === "train").length, 0);
    assert.match(notes.join("\n"), /left out batch 0: the loss is NaN.*data_\d+\.pt/);
    // Nothing was learned: what it ends with is what it began with.
    const { openWeights } = await import("../core/formats/weights.ts");
    using trained = await openWeights(result.checkpoint);
    await finish(datagen({
      ...{ targetModelPath: VERIFIER, trainDataPath: [DIALOGUES], outputDir: at("fresh") },
      ...{ tokenFreqPath: at("freq.pt"), maxSamples: 10, seqLength: 48 },
    }, await createRuntime({ device: "wasm" })));
    const tiny = await run({
      ...options,
      dataPath: [at("fresh")],
      savePath: at("tiny"),
      maxSteps: 1,
      lr: 1e-30,
    });
    using first = await openWeights(tiny.result.checkpoint);
    for (const name of ["fc.weight", "lm_head.weight"]) {
      assert.deepEqual((await trained.read(name)).bytes, (await first.read(name)).bytes, name);
    }
  });
});

Deno.test("corrupt samples are named and left out, as many as may be", async () => {
  await inFolder(async (at) => {
    const options = { ...await prepare(at), epochs: 1 };
    await Deno.writeFile(at("data", "data_3.pt"), new Uint8Array(100));
    await Deno.writeFile(at("data", "data_6.pt"), new Uint8Array(100));
    await assert.rejects(run(options), { code: "E_FORMAT", message: /data_[36]\.pt/ });
    await assert.rejects(run({ ...options, savePath: at("one"), maxBadSamples: 1 }), {
      code: "E_FORMAT",
      message: /at most 1 corrupt samples, received 2/,
    });
    const { result, notes } = await run({ ...options, savePath: at("two"), maxBadSamples: 2 });
    assert.deepEqual(result.badSamples.map((path) => path.slice(-9)).sort(), ["data_3.pt", "data_6.pt"]);
    assert.equal(notes.filter((text) => text.startsWith("left out a corrupt sample")).length, 2);
  });
});
