import assert from "node:assert/strict";
import { cli, DIALOGUES, inFolder, VERIFIER } from "./cli.ts";

const WASM = ["--device", "wasm"];

Deno.test("training leaves its logs and a report, shows a live page, and goes on in the same report", async () => {
  await inFolder(async (at) => {
    const data = [
      "--train-data-path",
      DIALOGUES,
      "--output-dir",
      at("data"),
      "--token-freq-path",
      at("f.pt"),
    ];
    const size = ["--max-samples", "3", "--seq-length", "32"];
    const made = await cli(["datagen", "--target-model-path", VERIFIER, ...data, ...size, ...WASM]);
    assert.equal(made.code, 0, made.err);
    const train = () =>
      cli([
        ...[
          "train",
          "--verifier-name-or-path",
          VERIFIER,
          "--data-path",
          at("data"),
          "--save-path",
          at("run"),
        ],
        ...[
          "--epochs",
          "2",
          "--total-seq-len",
          "32",
          "--run-name",
          "a <b>",
          "--log-dir",
          at("logs"),
        ],
        ...["--logger", "tensorboard,jsonl,wandb", "--dashboard", ...WASM],
      ]);
    const steps = async (): Promise<number[]> => {
      const page = await Deno.readTextFile(at("run", "report.html"));
      assert.match(page, /<h1>Training of a &lt;b&gt;<\/h1>/);
      const text = /id="data">([^<]*)</.exec(page)![1]!;
      return JSON.parse(text).series["train/loss_0"].x;
    };
    const first = await train();
    assert.equal(first.code, 0, first.err);
    assert.match(first.err, /watch it at http:\/\/127\.0\.0\.1:\d+\/\n/);
    const once = await steps();
    assert.ok(once.length >= 2);
    assert.deepEqual(once, once.map((_, i) => i));
    // As if it had been killed in its second epoch.
    await Deno.remove(at("run", "1"), { recursive: true });
    const second = await train();
    assert.equal(second.code, 0, second.err);
    assert.match(second.err, /goes on from/);
    assert.deepEqual(await steps(), once);
    const logs = (await Array.fromAsync(Deno.readDir(at("logs", "a <b>")))).map(({ name }) => name).sort();
    assert.equal(logs.filter((name) => name.startsWith("events.out.tfevents.")).length, 2);
    assert.deepEqual(logs.filter((name) => !name.startsWith("events.")), ["metrics.jsonl", "wandb"]);
  });
});
