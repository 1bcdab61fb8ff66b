import assert from "node:assert/strict";
import { startHub } from "../_test_hub.ts";
import { testFolder } from "../formats/_test_folder.ts";
import { openDataset, parseDatasetName } from "./dataset.ts";

Deno.test("a weight stands behind the name; a file that is called so has none", async () => {
  await using folder = await testFolder();
  assert.deepEqual(await parseDatasetName("a.jsonl"), { name: "a.jsonl" });
  assert.deepEqual(await parseDatasetName("a=b.jsonl=0.25"), { name: "a=b.jsonl", weight: 0.25 });
  assert.deepEqual(await parseDatasetName("org/name:config:split=3"), {
    name: "org/name:config:split",
    weight: 3,
  });
  const path = await folder.put("run=2", "");
  assert.deepEqual(await parseDatasetName(path), { name: path });
  for (const weight of ["0", "-1", "1e999", "1.2.3"]) {
    await assert.rejects(parseDatasetName(`a.jsonl=${weight}`), { code: "E_CONFIG", message: /above 0/ });
  }
});

Deno.test("a data set of the hub is read like a local one, and a local one comes first", async () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  await using hub = startHub({
    files: {},
    data: {
      main: { "train-0.jsonl": bytes('{"text": "a"}\n'), "train-1.jsonl": bytes('{"text": "b"}\nx\n') },
    },
  });
  await using folder = await testFolder();
  const env: Record<string, string> = { HF_ENDPOINT: hub.endpoint, HF_HOME: folder.at("home") };
  using source = await openDataset("some/data:train", { env: (name) => env[name] });
  assert.equal(source.count, 3);
  assert.deepEqual(await source.read(1).then((found) => "record" in found && found.record), { text: "b" });
  assert.match((await source.read(2)).path!, /train-1\.jsonl$/);
  const asked = hub.seen.length, path = await folder.put("ultrachat", '{"text": "mine"}\n');
  using local = await openDataset(path);
  assert.equal(local.count, 1);
  assert.equal(hub.seen.length, asked);
});

Deno.test("the names of known data sets mean those of the hub", async () => {
  await using folder = await testFolder();
  const env: Record<string, string> = { HF_HUB_OFFLINE: "1", HF_HOME: folder.path };
  const options = { env: (name: string) => env[name] };
  await assert.rejects(openDataset("sharegpt", options), { message: /Aeala\/ShareGPT_Vicuna_unfiltered/ });
  await assert.rejects(openDataset("ultrachat", options), { message: /HuggingFaceH4\/ultrachat_200k/ });
  await assert.rejects(openDataset("nothing", options), { code: "E_NOT_FOUND", message: /"nothing"/ });
});
