/** Commands that take a model of the hub, against a server that behaves like it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { startHub } from "../core/_test_hub.ts";
import { inFolder, runProcess, SPECULATOR, VERIFIER } from "./cli.ts";
import { writeEagle3, writeVerifierConfig } from "./research.ts";

async function filesOf(folder: string): Promise<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {};
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile) files[name] = await Deno.readFile(join(folder, name));
  }
  return files;
}

Deno.test("a checkpoint of the hub is converted, from its cache when there is no network", () =>
  inFolder(async (at) => {
    await writeVerifierConfig(at("verifier"));
    await writeEagle3(at("source"));
    const env = { HF_HOME: at("home") },
      args = ["convert", "some/draft@v1", "--algorithm", "eagle3", "--quiet"];
    const more = ["--verifier", at("verifier"), "--json", "--output-path"];
    {
      await using hub = startHub({ files: await filesOf(at("source")), breaks: 1, breakAfter: 500 });
      const first = await runProcess([...args, ...more, at("first")], {
        env: { ...env, HF_ENDPOINT: hub.endpoint },
      });
      assert.equal(first.code, 0, first.err);
    }
    const offline = { ...env, HF_HUB_OFFLINE: "1" };
    const second = await runProcess([...args, ...more, at("second")], { env: offline });
    assert.equal(second.code, 0, second.err);
    assert.deepEqual(await filesOf(at("second")), await filesOf(at("first")));
    const third = await runProcess(["inspect", "some/draft@v1", "--json"], { env: offline });
    assert.equal(JSON.parse(third.out).tensors.length, 15, third.err);
    const fourth = await runProcess(["inspect", "some/draft", "--json"], { env: offline });
    assert.equal(fourth.code, 1);
    assert.match(fourth.err, /Cannot find "some\/draft@main": .*offline mode is on\nhint: /);
  }));

Deno.test("a verifier of the hub writes text, and a speculator of the hub helps it", () =>
  inFolder(async (at) => {
    const env = { HF_HOME: at("home") },
      base = ["generate", "-p", "Good morrow", "--max-tokens", "6", "--device", "wasm"];
    const plain = await runProcess([...base, "-b", VERIFIER], { env });
    assert.equal(plain.code, 0, plain.err);
    for (
      const [folder, flags] of [[VERIFIER, ["-b", "some/draft"]], [SPECULATOR, [
        "-b",
        VERIFIER,
        "-s",
        "some/draft",
      ]]] as const
    ) {
      await using hub = startHub({ files: await filesOf(folder) });
      const options = { env: { HF_HOME: at(folder === VERIFIER ? "a" : "b"), HF_ENDPOINT: hub.endpoint } };
      const found = await runProcess([...base, ...flags], options);
      assert.equal(found.code, 0, found.err);
      assert.ok(found.out.startsWith(plain.out.trimEnd().slice(0, 12)), `${found.out} for ${plain.out}`);
      assert.ok(hub.seen.some(({ path }) => path === "storage/model.safetensors"));
    }
  }));
