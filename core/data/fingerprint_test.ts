import assert from "node:assert/strict";
import { testFolder } from "../formats/_test_folder.ts";
import { weightsFingerprint } from "./fingerprint.ts";

Deno.test("a model has the same fingerprint wherever it lies, and another one when its weights change", async () => {
  await using folder = await testFolder();
  const weights = Uint8Array.from({ length: 3_000_000 }, (_, i) => i * 7 + (i >> 8));
  for (const name of ["a", "b", "c", "d"]) {
    await Deno.mkdir(folder.at(name));
    await Deno.writeTextFile(folder.at(name, "README.md"), name);
    await Deno.writeFile(folder.at(name, "model.safetensors"), weights);
  }
  const first = await weightsFingerprint(folder.at("a"));
  assert.match(first, /^[0-9a-f]{64}$/);
  assert.equal(await weightsFingerprint(folder.at("b")), first);
  await Deno.writeFile(folder.at("c", "model.safetensors"), weights.map((byte) => byte ^ 1));
  await Deno.writeFile(folder.at("d", "more.safetensors"), weights.subarray(0, 1));
  const all = await Promise.all(["a", "c", "d"].map((name) => weightsFingerprint(folder.at(name))));
  assert.equal(new Set(all).size, 3);
  assert.equal(
    await weightsFingerprint(folder.at("a", "model.safetensors")),
    first,
    "a file alone is a model, too",
  );
});

Deno.test("a file's first and last bytes count, and an empty file is one", async () => {
  await using folder = await testFolder();
  const make = async (change: (bytes: Uint8Array) => void, size = 9001) => {
    const bytes = new Uint8Array(size);
    change(bytes);
    await Deno.writeFile(folder.at("model.gguf"), bytes);
    return await weightsFingerprint(folder.at("model.gguf"));
  };
  const found = new Set([
    await make(() => {}),
    await make((bytes) => bytes[0] = 1),
    await make((bytes) => bytes[9000] = 1),
    await make(() => {}, 0),
  ]);
  assert.equal(found.size, 4);
});
