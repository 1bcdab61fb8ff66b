import assert from "node:assert/strict";
import { testFolder } from "../formats/_test_folder.ts";
import { golden } from "../../tests/golden.ts";
import { writeLengths } from "./lengths.ts";
import { type TorchInput, writeTorch } from "../formats/torch.ts";
import { int64Tensor, type Sample } from "./sample.ts";
import { openSampleStore, type SampleEnding } from "./store.ts";

function sampleOf(tokens: number, layers = 4, width = 6): Sample {
  const bits = (i: number) => Uint16Array.from({ length: tokens * width }, (_, k) => 0x3f00 + 16 * i + k);
  return {
    inputIds: Int32Array.from({ length: tokens }, (_, t) => 7 * t),
    lossMask: Uint8Array.from({ length: tokens }, (_, t) => t % 2),
    hidden: Array.from({ length: layers }, (_, i) => ({
      shape: [tokens, width],
      dtype: "bf16",
      bytes: new Uint8Array(bits(i).buffer),
    })),
  };
}

for (const format of ["pt", "safetensors"] satisfies SampleEnding[]) {
  Deno.test(`samples come back from ${format} files as they were`, async () => {
    await using folder = await testFolder();
    const store = await openSampleStore(folder.at("new"), { format });
    assert.deepEqual(await store.list(), []);
    const samples = new Map([[0, sampleOf(5)], [2, sampleOf(1)], [10, sampleOf(9)]]);
    for (const [index, sample] of samples) await store.write(index, sample);
    assert.deepEqual(await store.list(), [0, 2, 10]);

    const again = await openSampleStore(folder.at("new"));
    for (const [index, sample] of samples) assert.deepEqual(await again.read(index), sample);
    assert.ok(again.path(2).endsWith(`data_2.${format}`));
    assert.ok(again.path(3).endsWith(`data_3.${format}`), "new samples are like those already there");
    assert.deepEqual(await again.lengths(), new Map([[0, 5], [2, 1], [10, 9]]));
  });
}

Deno.test("upstream's samples read the same when written in the other format", async () => {
  await using folder = await testFolder();
  const source = await openSampleStore(golden("batches", "samples"));
  const indices = await source.list();
  assert.ok(indices.length > 0);
  for (const format of ["pt", "safetensors"] satisfies SampleEnding[]) {
    const copy = await openSampleStore(folder.at(format), { format });
    for (const index of indices) {
      const sample = await source.read(index);
      await copy.write(index, sample);
      assert.deepEqual(await copy.read(index), sample, `${format} ${index}`);
    }
  }
});

Deno.test("samples of the older layout, its layers side by side, are the same samples", async () => {
  await using folder = await testFolder();
  const sample = sampleOf(5), width = 6, layers = sample.hidden.slice(0, -1), row = 2 * width;
  const side = new Uint8Array(5 * layers.length * row);
  for (let t = 0; t < 5; t++) {
    layers.forEach(({ bytes }, i) =>
      side.set(bytes.subarray(t * row, (t + 1) * row), (t * layers.length + i) * row)
    );
  }
  const write = (columns: number, bytes: Uint8Array) =>
    writeTorch(
      folder.at("data_0.pt"),
      new Map<string, TorchInput>([
        ["input_ids", int64Tensor(sample.inputIds)],
        ["loss_mask", int64Tensor(sample.lossMask)],
        ["hidden_state", { shape: [5, columns], dtype: "bf16", bytes }],
        ["target", sample.hidden.at(-1)!],
      ]),
    );
  await write(3 * width, side);
  const store = await openSampleStore(folder.path);
  assert.deepEqual(await store.read(0), sample);
  assert.deepEqual(await store.ids(0), sample.inputIds);
  assert.deepEqual(await store.lengths(), new Map([[0, 5]]));
  await write(width + 1, side.subarray(0, 5 * (width + 1) * 2));
  await assert.rejects(store.read(0), { code: "E_FORMAT", message: /some layers of width 6/ });
});

Deno.test("lengths are those of the list, and of the sample where it lacks one", async () => {
  await using folder = await testFolder();
  const store = await openSampleStore(folder.path);
  await store.write(0, sampleOf(5));
  await store.write(1, sampleOf(8));
  await writeLengths(folder.path, new Map([[0, 50], [7, 70]]));
  assert.deepEqual(await store.lengths(), new Map([[0, 50], [1, 8]]));
});

Deno.test("a sample in two formats, and parts that do not fit, are refused", async () => {
  await using folder = await testFolder();
  const store = await openSampleStore(folder.path);
  const wrong = { ...sampleOf(5), lossMask: new Uint8Array(4) };
  await assert.rejects(store.write(0, wrong), { code: "E_CONFIG" });
  await assert.rejects(store.write(0, { ...sampleOf(5), hidden: [] }), { code: "E_CONFIG" });
  await store.write(0, sampleOf(5));
  await folder.put("data_0.safetensors", "x");
  await assert.rejects(openSampleStore(folder.path), { code: "E_FORMAT" });
});

Deno.test("files that are no samples are refused with their name", async () => {
  await using folder = await testFolder();
  await folder.put("data_0.pt", "no archive");
  await folder.put("data_1.safetensors", "no header");
  const store = await openSampleStore(folder.path);
  for (const index of [0, 1]) {
    await assert.rejects(store.read(index), { code: "E_FORMAT", message: new RegExp(`data_${index}`) });
  }
  await assert.rejects(store.read(2), { code: "E_NOT_FOUND" });
});

Deno.test("tokens are read without the states, and tell a damaged file", async () => {
  for (const format of ["pt", "safetensors"] as const) {
    await using folder = await testFolder();
    const store = await openSampleStore(folder.path, { format }), sample = sampleOf(9);
    await store.write(0, sample);
    assert.deepEqual(await store.ids(0), sample.inputIds);
    assert.equal(await store.ids(1), null);
    const whole = await Deno.readFile(store.path(0));
    for (const share of [0, 0.3, 0.9, 0.999]) {
      await Deno.writeFile(store.path(0), whole.subarray(0, Math.floor(whole.length * share)));
      assert.equal(await store.ids(0), null, `${format}, ${share}`);
    }
  }
});
