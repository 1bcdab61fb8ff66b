/** Data generation that is killed, shared out and disturbed gives what an undisturbed run gives. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { PythonRandom } from "../core/data/random.ts";
import { openSampleStore } from "../core/data/store.ts";
import { toFloat32 } from "../core/formats/dtype.ts";
import { cli, cliProcess, copyModel, DIALOGUES, filesIn, inFolder, VERIFIER } from "./cli.ts";

const KILLS = 20;

function args(folder: string, ...more: string[]): string[] {
  const paths = ["--target-model-path", VERIFIER, "--train-data-path", DIALOGUES, "--output-dir", folder];
  const frequencies = more.includes("--shard") ? [] : ["--token-freq-path", join(folder, "token_freq.pt")];
  return ["datagen", ...paths, ...frequencies, "--batch-tokens", "300", "--device", "wasm", ...more];
}

/** Content of a folder, but for when and by which command it was made. */
async function contents(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { name } of Deno.readDir(folder)) {
    let bytes = await Deno.readFile(join(folder, name));
    if (name === "data_config.json") {
      const { generated_at: _, reproducibility, ...rest } = JSON.parse(new TextDecoder().decode(bytes));
      bytes = new TextEncoder().encode(JSON.stringify({ ...rest, gpu: reproducibility.gpu }));
    }
    found[name] = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  }
  return found;
}

const samplesIn = async (folder: string): Promise<number> =>
  (await filesIn(folder).catch(() => [])).filter((name) => /data_\d+\.pt$/.test(name)).length;

Deno.test("a run that is killed at random moments ends with the same bytes as one that is not", async () => {
  await inFolder(async (at) => {
    assert.equal((await cli(args(at("whole"), "--quiet"))).code, 0);
    const random = new PythonRandom(7), seen: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const child = cliProcess(args(at("data"))).spawn(), before = await samplesIn(at("data"));
      // Some before the first new sample, most after a few, at any point of what comes then.
      const wanted = before + random.below(8), wait = random.below(25);
      let ended = false;
      const status = child.output().then((output) => (ended = true, output));
      while (!ended && await samplesIn(at("data")) < wanted) await new Promise((done) => setTimeout(done, 2));
      await new Promise((done) => setTimeout(done, wait));
      try {
        child.kill("SIGKILL");
      } catch { /* it came to its end */ }
      await status;
      seen.push(await samplesIn(at("data")));
    }
    assert.ok(seen[KILLS / 2]! < 100, `killed at ${seen.join(", ")}`);
    const last = await cli([...args(at("data")), "--json"]);
    assert.equal(last.code, 0, last.err);
    assert.equal(JSON.parse(last.out).samples, 100);
    assert.deepEqual(await contents(at("data")), await contents(at("whole")));
  });
});

Deno.test("a damaged sample is made again, and one of another conversation is refused", async () => {
  await inFolder(async (at) => {
    const few = (...more: string[]) => args(at("data"), "--max-samples", "12", "--quiet", ...more);
    assert.equal((await cli(few())).code, 0);
    const before = await contents(at("data")), whole = await Deno.readFile(at("data", "data_5.pt"));
    await Deno.writeFile(at("data", "data_5.pt"), whole.subarray(0, whole.length / 2));
    await Deno.writeTextFile(at("data", "data_9.pt"), "");
    assert.equal(JSON.parse((await cli(few("--json"))).out).fresh, 2);
    assert.deepEqual(await contents(at("data")), before);
    await Deno.copyFile(at("data", "data_6.pt"), at("data", "data_5.pt"));
    const refused = await cli(few());
    assert.equal(refused.code, 1);
    assert.match(
      refused.err,
      /data_5\.pt": expected the sample of this conversation, .*received another one/,
    );
  });
});

Deno.test("samples of other weights are refused, whatever the model is called; the same ones may lie elsewhere", async () => {
  await inFolder(async (at) => {
    await copyModel(VERIFIER, at("model"));
    const few = (model: string, folder: string) => [
      ...args(at(folder), "--max-samples", "6", "--json"),
      ...["--target-model-path", at(model), "--token-freq-path", at("token_freq.pt")],
    ];
    assert.equal((await cli(few("model", "data"))).code, 0);
    await Deno.rename(at("model"), at("moved"));
    const same = await cli(few("moved", "data"));
    assert.equal(same.code, 0, same.err);
    assert.equal(JSON.parse(same.out).fresh, 0);

    const path = at("moved", "model.safetensors"), weights = await Deno.readFile(path);
    weights.fill(0, weights.length - 64); // a few entries of one tensor
    await Deno.remove(path);
    await Deno.writeFile(path, weights);
    const before = await contents(at("data"));
    const refused = await cli(few("moved", "data"));
    assert.equal(refused.code, 1);
    assert.match(
      refused.err,
      /"--target-model-path": expected the weights of \S+model that made .* of \S+moved/,
    );
    assert.match(refused.err, /use another --output-dir/);
    assert.deepEqual(await contents(at("data")), before);

    assert.equal((await cli(few("moved", "other"))).code, 0);
    const merged = await cli([
      ...["datagen", "merge", "--output-dir", at("all"), "--token-freq-path", at("sum.pt")],
      ...[at("data"), at("other")],
    ]);
    assert.match(merged.err, /other: weights": expected "[0-9a-f]{64}", as in \S+data, received/);
  });
});

Deno.test("two runs do not work on one folder", async () => {
  await inFolder(async (at) => {
    const child = cliProcess(args(at("data"), "--batch-tokens", "1")).spawn();
    const output = child.output();
    while (await samplesIn(at("data")) === 0) await new Promise((done) => setTimeout(done, 2));
    const second = await cli(args(at("data")));
    assert.match(second.err, new RegExp(`no other run works on, received one that process ${child.pid}`));
    assert.equal(second.code, 1);
    child.kill("SIGKILL");
    await output;
  });
});

Deno.test("shards put together are the samples of one run", async () => {
  await inFolder(async (at) => {
    const some = ["--max-samples", "20", "--turn-dropout", "--quiet"];
    const lines = (await Deno.readTextFile(DIALOGUES)).trimEnd().split("\n");
    await Deno.writeTextFile(
      at("some.jsonl"),
      [...lines.slice(0, 12), "broken", ...lines.slice(12, 18)].join("\n"),
    );
    const from = (folder: string, ...more: string[]) =>
      args(at(folder), ...some, ...more).map((arg) => arg === DIALOGUES ? at("some.jsonl") : arg);
    assert.equal((await cli(from("whole"))).code, 0);
    for (const part of [1, 2, 3]) {
      assert.equal((await cli(from(`part-${part}`, "--shard", `${part}/3`))).code, 0);
    }
    const merge = (...parts: string[]) =>
      cli([
        "datagen",
        "merge",
        "--output-dir",
        at("all"),
        "--token-freq-path",
        at("all", "token_freq.pt"),
        ...parts.map((p) => at(p)),
      ]);
    assert.match((await merge("part-1", "part-3")).err, /expected shard 2\/3 once, received none/);
    const fewer = from("fewer", "--shard", "2/3").map((arg) => arg === "20" ? "10" : arg);
    assert.equal((await cli(fewer)).code, 0);
    assert.match(
      (await merge("part-1", "fewer", "part-3")).err,
      /fewer: --max-samples": expected 20, as in \S+part-1, received 10/,
    );
    const merged = await merge("part-3", "part-1", "part-2");
    assert.equal(merged.code, 0, merged.err);
    assert.match(merged.out, /^18 samples in /);
    const [whole, all] = [await contents(at("whole")), await contents(at("all"))];
    assert.deepEqual(Object.keys(all).sort(), Object.keys(whole).sort());
    for (const name of ["token_freq.pt", "sample_lengths.json", "rejected.jsonl", "data_config.json"]) {
      assert.equal(all[name], whole[name], name);
    }
    const [a, b] = [await openSampleStore(at("all")), await openSampleStore(at("whole"))];
    for (const index of await b.list()) {
      const [one, other] = [await a.read(index), await b.read(index)];
      assert.deepEqual([one.inputIds, one.lossMask], [other.inputIds, other.lossMask]);
      // Batches differ at the edges of shards, and with them the rounding of sums; bf16 has 8 bits.
      for (const [i, layer] of one.hidden.entries()) {
        const [x, y] = [toFloat32(layer), toFloat32(other.hidden[i]!)];
        const largest = x.reduce((m, value) => Math.max(m, Math.abs(value)), 0);
        assert.ok(
          x.every((value, j) => Math.abs(value - y[j]!) <= largest / 128),
          `sample ${index}, state ${i}`,
        );
      }
    }
  });
});
