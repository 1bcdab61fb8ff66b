/** The pipeline: what it leaves, what it does not do again, where its settings come from. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { cli, DIALOGUES, inFolder, VERIFIER } from "./cli.ts";

const FLAGS = ["--device", "wasm", "--json"], HELD_OUT = join(VERIFIER, "dialogues.held-out.jsonl");

Deno.test("a pipeline goes from text to an evaluation, and does not repeat what is finished", async () => {
  await inFolder(async (at) => {
    await Deno.writeTextFile(
      at("run.yaml"),
      [
        `verifier-name-or-path: ${JSON.stringify(VERIFIER)}`,
        `output-dir: ${JSON.stringify(at("out"))}`,
        "datagen:",
        `  train-data-path: ${JSON.stringify(DIALOGUES)}`,
        `  val-data-path: ${JSON.stringify(HELD_OUT)}`,
        "  seq_length: 64",
        "  maxSamples: 6",
        "vocab-map: { draft-vocab-size: 64 }",
        "train: { epochs: 2, lr: 5.0e-4, total-seq-len: 128 }",
        `evaluate: { data: [${JSON.stringify(DIALOGUES)}], limit: 1, max-tokens: 8 }`,
      ].join("\n"),
    );
    const args = [
      "pipeline",
      "--config",
      at("run.yaml"),
      "--lr",
      "1e-3",
      "--set",
      "train.noiseStd=0",
      ...FLAGS,
    ];
    const first = await cli(args);
    assert.equal(first.code, 0, first.err);
    const found = JSON.parse(first.out);
    assert.equal(found.evaluate.identical, true);
    assert.deepEqual([found.datagen.folder, found.valDatagen.folder], [
      at("out", "gen"),
      at("out", "gen_val"),
    ]);
    const { calls } = JSON.parse(await Deno.readTextFile(at("out", "checkpoints", "provenance.json")));
    assert.deepEqual(
      [calls[0].data.train, calls[0].data.validation],
      [[at("out", "gen")], [at("out", "gen_val")]],
    );
    const settings = JSON.parse(await Deno.readTextFile(at("out", "settings.json")));
    // A flag goes before the file, the file before the default.
    assert.deepEqual(settings.train, { epochs: 2, lr: 1e-3, totalSeqLen: 128, noiseStd: 0 });
    const state = await Deno.readTextFile(at("out", "checkpoints", "1", "training_state.json"));
    assert.deepEqual([JSON.parse(state).settings.lr, JSON.parse(state).settings.seed], [1e-3, 42]);

    const again = await cli(args);
    assert.deepEqual(JSON.parse(again.out), found);
    for (const stage of ["datagen", "valDatagen", "vocabMap", "train", "evaluate"]) {
      assert.ok(again.err.includes(`${stage} is finished already`), again.err);
    }
    const other = await cli([...args, "--limit", "2"]);
    assert.equal(other.code, 0, other.err);
    assert.equal(JSON.parse(other.out).evaluate.prompts, 2);
    assert.ok(other.err.includes("train is finished already") && !other.err.includes("evaluate is finished"));
    const changed = await cli([...args, "--lr", "1e-4"]);
    assert.equal(changed.code, 1);
    assert.match(changed.err, /expected lr = 0\.001 as before, received 0\.0001/);
  });
});

Deno.test("a pipeline refuses settings that it does not know before it begins", async () => {
  await inFolder(async (at) => {
    const refused = async (text: string, message: RegExp) => {
      await Deno.writeTextFile(at("run.yaml"), text);
      const { code, err } = await cli([
        "pipeline",
        "--config",
        at("run.yaml"),
        "--output-dir",
        at("out"),
        ...FLAGS,
      ]);
      assert.notEqual(code, 0);
      assert.match(err, message);
    };
    await refused(
      "train: { epoch: 3 }",
      /run\.yaml: train": expected one of .*received "epoch"[^]*mean epochs/,
    );
    await refused("train: { epochs: many }", /train\.epochs": expected a number, received "many"/);
    await refused("trainer: {}", /expected one of .*received "trainer"/);
    await refused("- a\n- b", /expected names and values/);
    await refused("a: [", /expected YAML or JSON/);
    await refused("train: {}", /expected --verifier-name-or-path, received none/);
    await refused(
      `verifier-name-or-path: ${JSON.stringify(VERIFIER)}`,
      /conversations to train on, received none/,
    );
    const { code, err } = await cli(["pipeline", "--set", "train.epochs=x", ...FLAGS]);
    assert.equal(code, 2);
    assert.match(err, /expected a number, received "x"/);
    const left = await Array.fromAsync(Deno.readDir(at()), ({ name }) => name);
    assert.deepEqual(left, ["run.yaml"]);
  });
});
