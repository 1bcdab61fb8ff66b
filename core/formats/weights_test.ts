import assert from "node:assert/strict";
import { join } from "node:path";
import { golden } from "../../tests/golden.ts";
import { FormatError, NotFoundError } from "../errors.ts";
import { hostTensor, toFloat32 } from "./dtype.ts";
import { writeSafetensors } from "./safetensors.ts";
import { testFolder } from "./_test_folder.ts";
import { writeTorch } from "./torch.ts";
import { openWeights } from "./weights.ts";

Deno.test("every golden verifier's weights open from their folder, and each tensor has its size", async () => {
  let folders = 0;
  for (const entry of Deno.readDirSync(golden("verifiers"))) {
    if (!entry.isDirectory) continue;
    using weights = await openWeights(golden("verifiers", entry.name));
    for (const name of weights.names()) {
      const spec = weights.spec(name);
      const tensor = await weights.read(name);
      assert.deepEqual(tensor.shape, spec.shape);
    }
    assert.ok(weights.has(weights.names()[0]!));
    folders++;
  }
  assert.ok(folders > 0);
});

async function sharded(index: string): Promise<{ path: string } & AsyncDisposable> {
  const folder = await testFolder();
  await writeSafetensors(folder.at("one.safetensors"), [["a", hostTensor(Float32Array.of(1), [1])]]);
  await folder.put("model.safetensors.index.json", index);
  return folder;
}

Deno.test("an index leads to its files' tensors", async () => {
  await using folder = await sharded('{"metadata":{},"weight_map":{"a":"one.safetensors"}}');
  using weights = await openWeights(folder.path);
  assert.deepEqual(weights.names(), ["a"]);
  assert.equal((await weights.read("a")).bytes.length, 4);
  assert.throws(() => weights.spec("b"), /expected a tensor "b"/);
});

const WRONG: readonly (readonly [string, RegExp])[] = [
  [
    '{"weight_map":{"a":"two.safetensors"}}',
    /"two.safetensors" of the tensor "a" beside it, received no such file/,
  ],
  ['{"weight_map":{"b":"one.safetensors"}}', /tensor "b" in "one.safetensors"/],
  ['{"weight_map":{"a":"../one.safetensors"}}', /"weight_map.a" to name a file in the same folder/],
  ['{"weight_map":{"a":"x/../../one.safetensors"}}', /in the same folder/],
  ['{"weight_map":{"a":"/etc/passwd"}}', /in the same folder, received "\/etc\/passwd"/],
  ['{"weight_map":{"a":"C:one.safetensors"}}', /in the same folder/],
  ['{"weight_map":{"a":"..\\\\one.safetensors"}}', /in the same folder/],
  ['{"weight_map":{"a":""}}', /in the same folder/],
  ['{"weight_map":{"a":7}}', /in the same folder, received 7/],
  ['{"weight_map":{"a":"one.safetensors","a":"one.safetensors"}}', /the key "a" once/],
  ['{"weight_map":[]}', /an object with "weight_map"/],
  ["{}", /an object with "weight_map"/],
  ["no", /expected JSON/],
];

for (const [index, message] of WRONG) {
  Deno.test(`the index ${index} is refused`, async () => {
    await using folder = await sharded(index);
    await assert.rejects(
      openWeights(folder.path),
      (error) =>
        error instanceof FormatError && message.test(error.message) &&
        error.message.includes(join(folder.path, "model.safetensors.index.json")),
    );
  });
}

Deno.test("a folder without weights is said to have none, with what was looked for", async () => {
  await using folder = await testFolder();
  await assert.rejects(
    openWeights(folder.path),
    (error) => error instanceof NotFoundError && /model.safetensors, .*pytorch_model.bin/.test(error.message),
  );
  await assert.rejects(openWeights(folder.at("nothing")), NotFoundError);
});

Deno.test("torch's own files are weights too, alone and by an index", async () => {
  await using folder = await testFolder();
  await writeTorch(folder.at("pytorch_model.bin"), { a: hostTensor(Float32Array.of(1, 2), [2]), note: "x" });
  using alone = await openWeights(folder.path);
  assert.deepEqual(alone.names(), ["a"]);
  assert.deepEqual([...toFloat32(await alone.read("a"))], [1, 2]);
  const index = await folder.put("other.index.json", '{"weight_map":{"a":"pytorch_model.bin"}}');
  using sharded = await openWeights(index);
  assert.deepEqual(sharded.spec("a"), { shape: [2], dtype: "f32" });
});
