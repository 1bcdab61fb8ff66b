/** Folders of samples that the Python system made are trained on as they are, whatever their layer ids count. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { createRuntime, datagen, finish, readJson, train, writeJsonAtomic } from "../mod.ts";
import { DIALOGUES, inFolder, VERIFIER } from "./cli.ts";

interface Config {
  readonly hidden_states: { readonly layer_ids: readonly number[] };
}

interface Speculator {
  readonly eagle_aux_hidden_state_layer_ids: readonly number[];
}

Deno.test("samples whose config counts what leaves a layer are the states of the ids one higher", async () => {
  await inFolder(async (at) => {
    const runtime = await createRuntime({ device: "wasm" });
    await finish(datagen({
      ...{ targetModelPath: VERIFIER, trainDataPath: [DIALOGUES], outputDir: at("data") },
      ...{ tokenFreqPath: at("token_freq.pt"), maxSamples: 6, seqLength: 48 },
    }, runtime));
    const path = at("data", "data_config.json"), ours = await readJson(path) as Config;
    const ids = ours.hidden_states.layer_ids;
    const older = (layer_ids: readonly number[]) =>
      writeJsonAtomic(path, { ...ours, hidden_states: { layer_ids, description: "" } });
    const run = async (name: string) => {
      const notes: string[] = [];
      const result = await finish(
        train({
          ...{ verifierNameOrPath: VERIFIER, dataPath: [at("data")], savePath: at(name) },
          ...{ epochs: 1, totalSeqLen: 100, seed: 1 },
        }, runtime),
        (event) => void (event.type === "note" && notes.push(event.text)),
      );
      const config = await readJson(join(result.checkpoint, "config.json")) as Speculator;
      return {
        notes: notes.join(),
        layers: config.eagle_aux_hidden_state_layer_ids,
        validation: result.validation,
      };
    };
    const wanted = await run("ours");
    assert.doesNotMatch(wanted.notes, /leaves a layer/);
    await older(ids.map((id) => id - 1));
    const found = await run("older");
    assert.match(found.notes, new RegExp(`leaves a layer: .* taken for ${ids.join(", ")}, one higher`));
    assert.deepEqual([found.validation, found.layers], [wanted.validation, wanted.layers]);
    assert.deepEqual(wanted.layers, ids.slice(0, -1));
    // The same numbers under the older convention are other states, and the draft says so to whoever serves it.
    await older([...ids.slice(0, -1), ids.at(-1)! - 1]);
    assert.deepEqual((await run("other")).layers, ids.slice(0, -1).map((id) => id + 1));
  });
});
