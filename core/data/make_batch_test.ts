import assert from "node:assert/strict";
import { testFolder } from "../formats/_test_folder.ts";
import type { HostTensor } from "../tensor.ts";
import { type BatchRequest, makeBatch, openBatchMaker } from "./make_batch.ts";
import { openSampleStore, type SampleEnding } from "./store.ts";

/** Files of samples of some lengths, with three states of width 4 in bf16. */
async function samplesIn(folder: string, ending: SampleEnding): Promise<string[]> {
  const store = await openSampleStore(folder, { format: ending }), lengths = [9, 5, 13];
  for (const [index, tokens] of lengths.entries()) {
    const state = (layer: number): HostTensor => {
      const bits = Uint16Array.from({ length: tokens * 4 }, (_, i) => 0x3f80 + 7 * i + 31 * layer + index);
      return { dtype: "bf16", shape: [tokens, 4], bytes: new Uint8Array(bits.buffer) };
    };
    await store.write(index, {
      inputIds: Int32Array.from({ length: tokens }, (_, t) => 3 * t + index),
      lossMask: Uint8Array.from({ length: tokens }, (_, t) => t % 2),
      hidden: [0, 1, 2].map(state),
    });
  }
  return lengths.map((_, index) => store.path(index));
}

for (const ending of ["pt", "safetensors"] satisfies SampleEnding[]) {
  Deno.test(`the other thread makes the batches that this one makes of ${ending} files, noise and all`, async () => {
    await using folder = await testFolder();
    const paths = await samplesIn(folder.path, ending);
    const request = (noise: BatchRequest["noise"]): BatchRequest => ({
      samples: [{ path: paths[2]! }, { path: paths[0]!, states: [2, 0, 2] }],
      maxLength: 18,
      verifier: { hiddenSize: 4, vocabSize: 100 },
      ...(noise ? { noise } : {}),
    });
    using maker = openBatchMaker();
    const requests = [undefined, { std: 0.05, seed: (42n << 64n) | 7n }, { std: 0.05, seed: 8n }].map(
      request,
    );
    const made = await Promise.all(requests.map((one) => maker.make(one)));
    for (const [i, one] of requests.entries()) assert.deepEqual(made[i], await makeBatch(one));
    assert.equal(made[0]!.batch!.tokens.length, 18);
    assert.deepEqual(made[0]!.files, [paths[2], paths[0]]);
    assert.notDeepEqual(made[1]!.batch!.hidden, made[2]!.batch!.hidden);
  });
}

Deno.test("what is wrong with samples is told from the other thread as from this one", async () => {
  await using folder = await testFolder();
  const paths = await samplesIn(folder.path, "pt"), samples = paths.map((path) => ({ path }));
  await Deno.truncate(paths[1]!, 200);
  await Deno.remove(paths[2]!);
  using threaded = openBatchMaker();
  using plain = openBatchMaker(new URL("data:text/javascript,throw new Error('no thread')"));
  for (const maker of [threaded, plain]) {
    const { bad, batch, files } = await maker.make({ samples, maxLength: 100 });
    assert.equal(batch!.tokens.length, 8);
    assert.deepEqual(files, [paths[0]]);
    assert.deepEqual(bad.map(({ path, error }) => [path, error.code]), [
      [paths[1], "E_FORMAT"],
      [paths[2], "E_NOT_FOUND"],
    ]);
    assert.ok(bad.every(({ path, error }) => error.message.includes(path)));
    assert.equal((await maker.make({ samples: samples.slice(1), maxLength: 100 })).batch, null);
    const refused = { samples: samples.slice(0, 1), maxLength: 100 };
    const hint = "Make the samples with datagen for this verifier";
    await assert.rejects(maker.make({ ...refused, verifier: { hiddenSize: 8, vocabSize: 100 } }), {
      code: "E_CONFIG",
      message: /data_0\.pt": expected states of width 8, received 4/,
      hint,
    });
    await assert.rejects(maker.make({ ...refused, verifier: { hiddenSize: 4, vocabSize: 20 } }), {
      code: "E_CONFIG",
      message: /data_0\.pt": expected tokens of the verifier, below 20, received 21/,
      hint,
    });
  }
});
