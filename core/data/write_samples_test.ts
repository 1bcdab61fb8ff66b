import assert from "node:assert/strict";
import { testFolder } from "../formats/_test_folder.ts";
import type { Sample } from "./sample.ts";
import { openSampleStore, type SampleEnding } from "./store.ts";
import { openSampleWriter, writeSamples } from "./write_samples.ts";

/** States f32, exact in bf16; all are views of one memory where `shared`. */
function sampleOf(tokens: number, shared = false): Sample {
  const width = 6, whole = Float32Array.from({ length: 3 * tokens * width }, (_, i) => (i % 64) / 4);
  return {
    inputIds: Int32Array.from({ length: tokens }, (_, t) => 7 * t),
    lossMask: Uint8Array.from({ length: tokens }, (_, t) => t % 2),
    hidden: [0, 1, 2].map((i) => {
      const part = whole.subarray(i * tokens * width, (i + 1) * tokens * width);
      const own = shared ? part : part.slice();
      const bytes = new Uint8Array(own.buffer, own.byteOffset, own.byteLength);
      return { shape: [tokens, width], dtype: "f32" as const, bytes };
    }),
  };
}

for (const ending of ["pt", "safetensors"] satisfies SampleEnding[]) {
  Deno.test(`the other thread writes the ${ending} files that this one writes, of memory shared or not`, async () => {
    await using here = await testFolder();
    await using there = await testFolder();
    const samples = (shared: boolean) =>
      [[0, 5], [3, 90], [4, 1]].map(([index, n]) => ({ index: index!, sample: sampleOf(n!, shared) }));
    await writeSamples(samples(false), { folder: here.path, ending, dtype: "bf16" });
    {
      using writer = openSampleWriter({ folder: there.path, ending, dtype: "bf16" });
      await writer.write(samples(true).slice(0, 2));
      await writer.write(samples(false).slice(2));
    }
    const store = await openSampleStore(there.path);
    assert.deepEqual(await store.list(), [0, 3, 4]);
    for (const index of [0, 3, 4]) {
      const name = `data_${index}.${ending}`;
      assert.deepEqual(await Deno.readFile(there.at(name)), await Deno.readFile(here.at(name)));
    }
    assert.equal((await store.read(3)).hidden[2]!.dtype, "bf16");
  });
}

Deno.test("a file that cannot be written is told from the other thread as from this one", async () => {
  await using folder = await testFolder();
  await Deno.mkdir(folder.at("data_1.pt"));
  const options = { folder: folder.path, ending: "pt", dtype: "f32" } as const;
  const samples = () => [0, 1].map((index) => ({ index, sample: sampleOf(4) }));
  const said = { code: "E_WRITE", message: /data_1\.pt": expected to write it whole/ };
  await assert.rejects(writeSamples(samples(), options), said);
  using writer = openSampleWriter(options);
  await assert.rejects(writer.write(samples()), said);
  assert.deepEqual([...Deno.readDirSync(folder.path)].map(({ name }) => name).sort(), [
    "data_0.pt",
    "data_1.pt",
  ]);
});

Deno.test("states that are no numbers, or none in the type asked for, are refused from both threads", async () => {
  await using folder = await testFolder();
  const withState = (value: number) => {
    const sample = sampleOf(4), { bytes } = sample.hidden[1]!;
    new Float32Array(bytes.buffer)[2 * 6 + 5] = value;
    return [{ index: 7, sample }];
  };
  const cases = [[NaN, "bf16", "NaN"], [70000, "f16", "Infinity"], [-Infinity, "f32", "-Infinity"]] as const;
  for (const [value, dtype, name] of cases) {
    const options = { folder: folder.at(dtype), ending: "pt", dtype } as const;
    const said = {
      code: "E_NUMERIC",
      message: new RegExp(`sample 7: .* in ${dtype}, received ${name} in the state 1 of token 2`),
    };
    await assert.rejects(writeSamples(withState(value), options), said);
    using writer = openSampleWriter(options);
    await assert.rejects(writer.write(withState(value)), said);
    assert.deepEqual(await (await openSampleStore(options.folder)).list(), []);
  }
  await writeSamples(withState(70000), { folder: folder.at("wide"), ending: "pt", dtype: "bf16" });
});

Deno.test("packed samples are smaller and come back as they were", async () => {
  await using folder = await testFolder();
  const options = { ending: "pt", dtype: "f32" } as const, sample = sampleOf(500);
  await writeSamples([{ index: 0, sample }], { ...options, folder: folder.at("plain") });
  await writeSamples([{ index: 0, sample }], {
    ...options,
    folder: folder.at("packed"),
    compress: "deflate",
  });
  const [plain, packed] = ["plain", "packed"].map((name) => Deno.statSync(folder.at(name, "data_0.pt")).size);
  assert.ok(packed! < plain! / 2, `${packed} of ${plain}`);
  const store = await openSampleStore(folder.at("packed"));
  assert.deepEqual(await store.read(0), sample);
  assert.deepEqual(await store.ids(0), sample.inputIds);
});
