import assert from "node:assert/strict";
import { join } from "node:path";
import { FormatError, NotFoundError } from "./errors.ts";
import { testFolder } from "./formats/_test_folder.ts";
import { git, SHA, sha256, startHub } from "./_test_hub.ts";
import { resolveModel, type ResolveOptions } from "./hub.ts";

const OTHER = "f".repeat(40);
const CONFIG = '{"model_type":"llama"}\n';

const text = (value: string) => new TextEncoder().encode(value);
const weights = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919) & 255);
const FILES = {
  "config.json": text(CONFIG),
  "model.safetensors": weights,
  "pytorch_model.bin": weights,
  "tokenizer.json": text("{}"),
  "README.md": text("read me"),
};

function optionsFor(
  hub: { endpoint: string },
  home: string,
  more: Record<string, string> = {},
): ResolveOptions {
  const env: Record<string, string> = { HF_ENDPOINT: hub.endpoint, HF_HOME: home, ...more };
  return { env: (name) => env[name] };
}

Deno.test("a model of the hub comes into the cache that other programs share", async () => {
  await using hub = startHub({ files: FILES });
  await using folder = await testFolder();
  const path = await resolveModel("some/draft", optionsFor(hub, folder.path));
  const repository = folder.at("hub", "models--some--draft");
  assert.equal(path, join(repository, "snapshots", SHA));
  assert.deepEqual([...Deno.readDirSync(path)].map(({ name }) => name).sort(), [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
  ]);
  assert.equal(await Deno.readTextFile(join(repository, "refs", "main")), SHA);
  assert.equal(
    await Deno.readLink(join(path, "model.safetensors")),
    join("..", "..", "blobs", sha256(weights)),
  );
  assert.deepEqual(await Deno.readFile(join(path, "model.safetensors")), weights);
  assert.equal(await Deno.readTextFile(join(path, "config.json")), CONFIG);
});

Deno.test("what is in the cache is not fetched again, and is there offline", async () => {
  await using hub = startHub({ files: FILES });
  await using folder = await testFolder();
  const first = await resolveModel("some/draft", optionsFor(hub, folder.path));
  const before = hub.seen.length;
  await resolveModel("some/draft", optionsFor(hub, folder.path));
  assert.deepEqual(hub.seen.slice(before).map(({ path }) => path), ["api/models/some/draft/revision/main"]);
  const offline = optionsFor(hub, folder.path, { HF_HUB_OFFLINE: "1" }), asked = hub.seen.length;
  assert.equal(await resolveModel("some/draft", offline), first);
  assert.equal(await resolveModel(`some/draft@${SHA}`, offline), first);
  assert.equal(hub.seen.length, asked);
  await assert.rejects(resolveModel(`some/draft@${OTHER}`, offline), NotFoundError);
});

Deno.test("the cache stands in for a hub that cannot be reached", async () => {
  await using folder = await testFolder();
  let endpoint: string;
  {
    await using hub = startHub({ files: FILES });
    ({ endpoint } = hub);
    await resolveModel("some/draft", optionsFor(hub, folder.path));
  }
  const path = await resolveModel("some/draft", optionsFor({ endpoint }, folder.path));
  assert.ok(path.endsWith(SHA));
  await assert.rejects(
    resolveModel("some/other", optionsFor({ endpoint }, folder.path)),
    /could not be reached/,
  );
});

Deno.test("a download that breaks goes on from where it was, several times", async () => {
  await using hub = startHub({ files: FILES, breaks: 3, breakAfter: 1200 });
  await using folder = await testFolder();
  const path = await resolveModel("some/draft", optionsFor(hub, folder.path));
  assert.deepEqual(await Deno.readFile(join(path, "model.safetensors")), weights);
  const ranges = hub.seen.filter((one) => one.path === "storage/model.safetensors").map(({ range }) => range);
  assert.deepEqual(ranges, [null, "bytes=1200-", "bytes=2400-", "bytes=3600-"]);
});

Deno.test("a download that another run has left goes on from where it was", async () => {
  await using hub = startHub({ files: FILES });
  await using folder = await testFolder();
  const blobs = folder.at("hub", "models--some--draft", "blobs");
  await Deno.mkdir(blobs, { recursive: true });
  await Deno.writeFile(join(blobs, `${sha256(weights)}.incomplete`), weights.slice(0, 3000));
  const path = await resolveModel("some/draft", optionsFor(hub, folder.path));
  assert.deepEqual(await Deno.readFile(join(path, "model.safetensors")), weights);
  const ranges = hub.seen.filter((one) => one.path === "storage/model.safetensors").map(({ range }) => range);
  assert.deepEqual(ranges, ["bytes=3000-"]);
  assert.deepEqual([...Deno.readDirSync(blobs)].filter(({ name }) => name.endsWith(".incomplete")), []);
});

Deno.test("a server without ranges sends the whole file again", async () => {
  await using hub = startHub({ files: FILES, breaks: 1, breakAfter: 1200, noRanges: true });
  await using folder = await testFolder();
  const path = await resolveModel("some/draft", optionsFor(hub, folder.path));
  assert.deepEqual(await Deno.readFile(join(path, "model.safetensors")), weights);
});

Deno.test("a file with another hash than announced is refused and not kept", async () => {
  await using hub = startHub({ files: FILES, damaged: true });
  await using folder = await testFolder();
  await assert.rejects(resolveModel("some/draft", optionsFor(hub, folder.path)), (error) => {
    assert.ok(error instanceof FormatError);
    assert.match(error.message, /model\.safetensors.*expected the hash/);
    return true;
  });
  const blobs = [...Deno.readDirSync(folder.at("hub", "models--some--draft", "blobs"))].map(({ name }) =>
    name
  );
  assert.deepEqual(blobs, [git(FILES["config.json"])]);
});

Deno.test("the token is sent to the hub and to nobody else", async () => {
  await using hub = startHub({ files: FILES, token: "hf_secret" });
  await using folder = await testFolder();
  await assert.rejects(resolveModel("some/draft", optionsFor(hub, folder.path)), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.match(error.hint ?? "", /HF_TOKEN/);
    return true;
  });
  await resolveModel("some/draft", optionsFor(hub, folder.path, { HF_TOKEN: "hf_secret" }));
  const stored = hub.seen.filter(({ path }) => path.startsWith("storage/"));
  assert.ok(stored.length > 0);
  assert.deepEqual(stored.map(({ token }) => token), stored.map(() => null));
});

Deno.test("the token of a login is read from its file", async () => {
  await using hub = startHub({ files: FILES, token: "hf_saved" });
  await using folder = await testFolder();
  await folder.put("token", "hf_saved\n");
  await resolveModel("some/draft", optionsFor(hub, folder.path));
  assert.ok(hub.seen.some(({ token }) => token === "Bearer hf_saved"));
});

Deno.test("only the files that are wanted are fetched", async () => {
  await using hub = startHub({ files: FILES });
  await using folder = await testFolder();
  const options = optionsFor(hub, folder.path);
  const path = await resolveModel("some/draft@v1", { ...options, files: "config" });
  assert.deepEqual([...Deno.readDirSync(path)].map(({ name }) => name), ["config.json"]);
  await resolveModel("some/draft", { ...options, revision: "v1", files: "weights" });
  assert.deepEqual([...Deno.readDirSync(path)].map(({ name }) => name).sort(), [
    "config.json",
    "model.safetensors",
  ]);
  assert.equal(await Deno.readTextFile(folder.at("hub", "models--some--draft", "refs", "v1")), SHA);
});

Deno.test("all shards of a sharded model are fetched, and torch's own files where there are no others", async () => {
  const shards = {
    "config.json": text(CONFIG),
    "pytorch_model.bin.index.json": text("{}"),
    "pytorch_model-00001-of-00002.bin": weights.slice(0, 10),
    "pytorch_model-00002-of-00002.bin": weights.slice(10, 30),
    "training_args.bin": weights.slice(0, 5),
  };
  await using hub = startHub({ files: shards });
  await using folder = await testFolder();
  const path = await resolveModel("some/draft", { ...optionsFor(hub, folder.path), files: "weights" });
  const expected = Object.keys(shards).filter((name) => name !== "training_args.bin");
  assert.deepEqual([...Deno.readDirSync(path)].map(({ name }) => name).sort(), expected.sort());
});

Deno.test("a name that is not the hub's is given back, and a model that it lacks is refused", async () => {
  await using hub = startHub({ files: FILES });
  await using folder = await testFolder();
  const options = optionsFor(hub, folder.path);
  for (const name of [folder.path, "./some/draft", "draft", "some/draft/deep", "../some/draft"]) {
    assert.equal(await resolveModel(name, options), name);
  }
  assert.deepEqual(hub.seen, []);
  await assert.rejects(resolveModel("some/thing", options), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.match(error.message, /some\/thing@main.*status 404/);
    return true;
  });
  await assert.rejects(resolveModel("some/draft", { ...options, revision: "../../etc" }), NotFoundError);
});

Deno.test("a hub in trouble is told as such", async () => {
  await using hub = startHub({ files: FILES, status: 503 });
  await using folder = await testFolder();
  await assert.rejects(resolveModel("some/draft", optionsFor(hub, folder.path)), /could not be reached/);
});
