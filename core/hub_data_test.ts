import assert from "node:assert/strict";
import { join } from "node:path";
import { commitOf, startHub } from "./_test_hub.ts";
import { testFolder } from "./formats/_test_folder.ts";
import { isHubDataset, resolveDataset, type ResolveDatasetOptions } from "./hub_data.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const CONVERTED = "refs/convert/parquet";
const CONVERTED_FILES = {
  "default/train/0000.parquet": bytes("a"),
  "default/train/0001.parquet": bytes("b"),
  "default/test/0000.parquet": bytes("c"),
  "small/partial-train/0000.parquet": bytes("d"),
};
const OWN_FILES = {
  "README.md": bytes("read me"),
  "data/train-00000-of-00002.jsonl": bytes("e"),
  "data/train-00001-of-00002.jsonl": bytes("f"),
  "data/test-00000-of-00001.jsonl": bytes("g"),
  "data/train.json": bytes("h"),
  "dataset_infos.json": bytes("{}"),
};

function at(
  hub: { endpoint: string },
  home: string,
  more: Record<string, string> = {},
): ResolveDatasetOptions {
  const env: Record<string, string> = { HF_ENDPOINT: hub.endpoint, HF_HOME: home, ...more };
  return { env: (name) => env[name] };
}

const texts = (paths: readonly string[]) => paths.map((path) => Deno.readTextFileSync(path)).join("");

Deno.test("a data set's files are those that the hub converted, of the config and split asked for", async () => {
  await using hub = startHub({ files: {}, data: { [CONVERTED]: CONVERTED_FILES, main: OWN_FILES } });
  await using folder = await testFolder();
  const cases = {
    "some/data": "ab",
    "some/data:test": "c",
    "some/data:default:train": "ab",
    "some/data:small:train": "d",
    "some/data@main": "ef",
    "some/data@main:test": "g",
  };
  for (const [name, expected] of Object.entries(cases)) {
    assert.ok(await isHubDataset(name), name);
    assert.equal(texts(await resolveDataset(name, at(hub, folder.path))), expected, name);
  }
  const [first] = await resolveDataset("some/data", at(hub, folder.path));
  const repository = folder.at("hub", "datasets--some--data");
  assert.equal(first, join(repository, "snapshots", commitOf(CONVERTED), "default", "train", "0000.parquet"));
  assert.equal(await Deno.readTextFile(join(repository, "refs", CONVERTED)), commitOf(CONVERTED));
});

Deno.test("a data set that was never converted is read as its authors laid it out", async () => {
  await using hub = startHub({ files: {}, data: { main: OWN_FILES } });
  await using folder = await testFolder();
  assert.equal(texts(await resolveDataset("some/data", at(hub, folder.path))), "ef");
  assert.equal(texts(await resolveDataset("some/data:test", at(hub, folder.path))), "g");
});

Deno.test("a file behind a colon is that very one, as its authors left it", async () => {
  const own = { "qa.jsonl": bytes("q"), "more/long_qa.jsonl": bytes("l"), "qa.json": bytes("j") };
  await using hub = startHub({ files: {}, data: { [CONVERTED]: CONVERTED_FILES, main: own } });
  await using folder = await testFolder();
  assert.equal(texts(await resolveDataset("some/data:qa.jsonl", at(hub, folder.path))), "q");
  assert.equal(texts(await resolveDataset("some/data:long_qa.jsonl", at(hub, folder.path))), "l");
  await assert.rejects(resolveDataset("some/data:none.jsonl", at(hub, folder.path)), /received .*qa\.jsonl/);
});

Deno.test("a data set is there offline once it was fetched, but no split that was not", async () => {
  await using hub = startHub({ files: {}, data: { [CONVERTED]: CONVERTED_FILES } });
  await using folder = await testFolder();
  const online = at(hub, folder.path), offline = at(hub, folder.path, { HF_HUB_OFFLINE: "1" });
  const paths = await resolveDataset("some/data:default:test", online), asked = hub.seen.length;
  assert.deepEqual(await resolveDataset("some/data:default:test", offline), paths);
  await assert.rejects(resolveDataset("some/data:default:train", offline), {
    code: "E_NOT_FOUND",
    message: /offline mode is on/,
  });
  assert.equal(hub.seen.length, asked);
  const cache = { ...online, cache: folder.at("other") };
  assert.ok((await resolveDataset("some/data:test", cache))[0]!.startsWith(folder.at("other")));
});

Deno.test("a config, a split or a data set that is not there is told with what is", async () => {
  await using hub = startHub({ files: {}, data: { [CONVERTED]: CONVERTED_FILES } });
  await using folder = await testFolder();
  const refused = (name: string, message: RegExp) =>
    assert.rejects(resolveDataset(name, at(hub, folder.path)), { message });
  await refused("some/data:default:train_sft", /expected a split .*one of test, train, received train_sft/);
  await refused("some/data:large:train", /expected a config .*one of default, small, received large/);
  await refused("some/nothing", /expected a local file or folder or a data set of .*received status 404/);
  assert.equal(await isHubDataset(folder.path), false);
  assert.equal(await isHubDataset("chats.jsonl"), false);
});
