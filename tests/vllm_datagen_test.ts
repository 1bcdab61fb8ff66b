/** Training samples from a server, which is not always well. */
import assert from "node:assert/strict";
import { openSampleStore } from "../core/data/store.ts";
import { AbortedError } from "../core/errors.ts";
import { finish } from "../core/events.ts";
import { toFloat32 } from "../core/formats/dtype.ts";
import { datagen, type DatagenOptions } from "../core/stages/datagen.ts";
import { createRuntime } from "../mod.ts";
import { DIALOGUES, inFolder, VERIFIER } from "./cli.ts";
import { type Fault, standIn, stateOf } from "./vllm_stand_in.ts";

const HIDDEN = 192, LAYERS = [2, 4, 5, 8];

/** Options of a run in a folder. */
function optionsIn(at: (...parts: string[]) => string, endpoint: string): DatagenOptions {
  return {
    targetModelPath: VERIFIER,
    trainDataPath: [DIALOGUES],
    outputDir: at("data"),
    tokenFreqPath: at("token_freq.pt"),
    maxSamples: 25,
    dtype: "f32",
    layerIds: LAYERS,
    engine: "vllm",
    endpoint,
  };
}

async function run(options: DatagenOptions, signal?: AbortSignal) {
  const runtime = await createRuntime({ device: "wasm", ...(signal ? { signal } : {}) });
  return await finish(datagen(options, runtime));
}

Deno.test("samples have the server's states though it fails now and then", async () => {
  const faults: readonly Fault[] = ["status 500", "dropped", "slow", "cut", "truncated", "busy"];
  const faultOf = (n: number) => n % 4 === 0 ? faults[(n / 4) % faults.length] : undefined;
  await inFolder(async (at) => {
    await using server = await standIn({
      hiddenSize: HIDDEN,
      layers: LAYERS.length,
      fault: faultOf,
    });
    const result = await run(optionsIn(at, server.endpoint)), store = await openSampleStore(at("data"));
    assert.equal(result.samples, 25);
    assert.equal((await store.list()).length, 25);
    for (const index of await store.list()) {
      const { hidden, inputIds } = await store.read(index);
      assert.equal(hidden.length, LAYERS.length);
      for (const [layer, states] of hidden.entries()) {
        const values = toFloat32(states);
        assert.equal(values.length, inputIds.length * HIDDEN);
        for (const [t, token] of inputIds.entries()) {
          for (const j of [0, HIDDEN - 1]) {
            assert.equal(values[t * HIDDEN + j], Math.fround(stateOf(token, { t, layer, j })));
          }
        }
      }
    }
    // What is left was damaged, or of an answer that never came.
    for await (const { name } of Deno.readDir(server.folder)) {
      assert.match(faultOf(Number(/\d+/.exec(name)![0])) ?? "none", /^(?:cut|truncated|dropped)$/);
    }
    // Again: everything is there, nothing is asked.
    const asked = server.bodies.length, again = await run(optionsIn(at, server.endpoint));
    assert.deepEqual([again.samples, again.fresh, server.bodies.length], [25, 0, asked]);
  });
});

Deno.test("a server that lies ends the run, and no sample of a lie is written", async () => {
  const lies = [
    ["wrong ids", "E_ENDPOINT"],
    ["more layers", "E_CONFIG"],
    ["no numbers", "E_NUMERIC"],
  ] as const;
  for (const [fault, code] of lies) {
    await inFolder(async (at) => {
      await using server = await standIn({ hiddenSize: HIDDEN, layers: LAYERS.length, fault: () => fault });
      await assert.rejects(run(optionsIn(at, server.endpoint)), { code });
      assert.deepEqual(await (await openSampleStore(at("data"))).list(), []);
    });
  }
});

Deno.test("a run that waits for a silent server stops at once when it is asked to", async () => {
  await inFolder(async (at) => {
    const stop = new AbortController();
    await using server = await standIn({
      hiddenSize: HIDDEN,
      layers: LAYERS.length,
      fault: () => {
        stop.abort();
        return "silent";
      },
    });
    const start = performance.now();
    await assert.rejects(run(optionsIn(at, server.endpoint), stop.signal), AbortedError);
    assert.ok(performance.now() - start < 20_000);
  });
});
