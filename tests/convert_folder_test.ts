/** Where conversion writes: shards, folders that exist, and what is left when it is stopped. */
import assert from "node:assert/strict";
import { ConfigError, convert, createRuntime, FormatError, WriteError } from "../mod.ts";
import { convert as cast, hostTensor } from "../core/formats/dtype.ts";
import { openSafetensors } from "../core/formats/safetensors.ts";
import { testFolder } from "../core/formats/_test_folder.ts";
import { readAll, run } from "./convert.ts";
import { SIZES, writeEagle3, writeVerifierConfig } from "./research.ts";

Deno.test("a result that is too large for one file is sharded, and read as one", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  await writeEagle3(folder.at("source"));
  const base = { model: folder.at("source"), algorithm: "eagle3", verifier };
  await run({ ...base, outputPath: folder.at("whole") });
  const { files } = await run({ ...base, outputPath: folder.at("parts"), maxShardSize: 2000 });
  const shards = files.filter((name) => /^model-\d{5}-of-\d{5}\.safetensors$/.test(name));
  assert.ok(shards.length >= 3, files.join());
  assert.deepEqual(await readAll(folder.at("parts")), await readAll(folder.at("whole")));
  const index = JSON.parse(await Deno.readTextFile(folder.at("parts", "model.safetensors.index.json")));
  let total = 0;
  for (const shard of shards) {
    using file = await openSafetensors(folder.at("parts", shard));
    const sizes = await Promise.all(file.names().map(async (name) => (await file.read(name)).bytes.length));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    assert.ok(bytes <= 2000 || sizes.length === 1, `${shard} has ${bytes} bytes`);
    total += bytes;
  }
  assert.equal(index.metadata.total_size, total);
});

Deno.test("a folder that exists is left as it is, and replaced only when asked for", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  await writeEagle3(folder.at("source"));
  await Deno.mkdir(folder.at("out"));
  await Deno.writeTextFile(folder.at("out", "mine.txt"), "mine");
  const options = { model: folder.at("source"), algorithm: "eagle3", verifier, outputPath: folder.at("out") };
  await assert.rejects(run(options), WriteError);
  assert.deepEqual([...Deno.readDirSync(folder.at("out"))].map(({ name }) => name), ["mine.txt"]);
  await writeEagle3(folder.at("bad"), {
    change: (tensors) =>
      void tensors.set(
        "norm.weight",
        cast(hostTensor(new Float32Array(SIZES.hidden).fill(NaN), [SIZES.hidden]), "bf16"),
      ),
  });
  await assert.rejects(run({ ...options, model: folder.at("bad"), overwrite: true }), FormatError);
  assert.equal(await Deno.readTextFile(folder.at("out", "mine.txt")), "mine");
  await run({ ...options, overwrite: true });
  assert.deepEqual([...Deno.readDirSync(folder.at("out"))].map(({ name }) => name).sort(), [
    "config.json",
    "generation_config.json",
    "model.safetensors",
  ]);
  assert.deepEqual([...Deno.readDirSync(folder.path)].filter(({ name }) => name.startsWith(".")), []);
});

Deno.test("a folder that was about to be replaced when a run was killed is put back by the next", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  await writeEagle3(folder.at("source"));
  await Deno.mkdir(folder.at(".out.replaced"));
  await Deno.writeTextFile(folder.at(".out.replaced", "mine.txt"), "mine");
  await Deno.mkdir(folder.at(".out.partial"));
  const options = { model: folder.at("source"), algorithm: "eagle3", verifier, outputPath: folder.at("out") };
  await assert.rejects(run(options), /received one that exists/);
  assert.equal(await Deno.readTextFile(folder.at("out", "mine.txt")), "mine");
});

Deno.test("a file of weights is converted with the config beside it", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  const source = await writeEagle3(folder.at("source"));
  await Deno.rename(folder.at("source", "model.safetensors"), folder.at("source", "epoch_9.safetensors"));
  const model = folder.at("source", "epoch_9.safetensors");
  await run({ model, algorithm: "eagle3", verifier, outputPath: folder.at("out") });
  assert.deepEqual((await readAll(folder.at("out"))).get("fc.weight"), source.get("fc.weight"));
});

Deno.test("a conversion that nobody follows to its end leaves nothing behind", async () => {
  await using folder = await testFolder();
  const vocab = 800_000, { hidden } = SIZES;
  const verifier = await writeVerifierConfig(folder.at("verifier"), { vocab_size: vocab });
  await writeEagle3(folder.at("source"), {
    config: { draft_vocab_size: vocab, vocab_size: vocab },
    change(tensors) {
      tensors.delete("d2t");
      tensors.delete("t2d");
      const bytes = new Uint8Array(vocab * hidden * 2);
      tensors.set("lm_head.weight", { shape: [vocab, hidden], dtype: "bf16", bytes });
    },
  });
  const options = { model: folder.at("source"), algorithm: "eagle3", verifier, outputPath: folder.at("out") };
  const stage = convert({ ...options, maxShardSize: 500 }, await createRuntime({ device: "wasm" }));
  for (let event = await stage.next(); !event.done && event.value.type !== "progress";) {
    event = await stage.next();
  }
  await stage.return(undefined as never);
  assert.deepEqual([...Deno.readDirSync(folder.path)].map(({ name }) => name).sort(), ["source", "verifier"]);
});

Deno.test("a folder that is read from is never replaced", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("around", "verifier"));
  await writeEagle3(folder.at("source"));
  const options = { model: folder.at("source"), algorithm: "eagle3", verifier, overwrite: true };
  for (const outputPath of [folder.at("source"), folder.at("around")]) {
    await assert.rejects(run({ ...options, outputPath }), (error) => {
      assert.ok(error instanceof WriteError);
      assert.match(error.message, /received the same or one around it/);
      return true;
    });
  }
  assert.deepEqual([...Deno.readDirSync(folder.path)].map(({ name }) => name).sort(), ["around", "source"]);
});

Deno.test("options that exclude one another, and a speculator as the checkpoint, are refused", async () => {
  await using folder = await testFolder();
  const verifier = await writeVerifierConfig(folder.at("verifier"));
  await writeEagle3(folder.at("source"));
  const options = { model: folder.at("source"), algorithm: "eagle3", verifier, outputPath: folder.at("out") };
  await assert.rejects(run({ ...options, strictUpstream: true, dtype: "f32" }), /"dtype".*strict-upstream/);
  await assert.rejects(run({ ...options, strictUpstream: true, fillFromVerifier: ["lm_head"] }), ConfigError);
  await run(options);
  const again = { ...options, model: folder.at("out"), outputPath: folder.at("again") };
  await assert.rejects(run(again), /expected a published checkpoint, received a speculator/);
});
