import assert from "node:assert/strict";
import { join } from "node:path";
import { testFolder } from "../formats/_test_folder.ts";
import { golden } from "../../tests/golden.ts";
import { formatDataConfig, readDataConfig, writeDataConfig } from "./data_config.ts";
import { formatLengths, readLengths, writeLengths } from "./lengths.ts";

/** Folders of upstream's own runs that ended with a config. */
function offlineRuns(): string[] {
  const folder = golden("preprocess", "offline");
  return [...Deno.readDirSync(folder)].map(({ name }) => join(folder, name))
    .filter((path) => [...Deno.readDirSync(path)].some(({ name }) => name === "data_config.json"));
}

Deno.test("a data config has upstream's bytes but for the field that names the convention", async () => {
  assert.ok(offlineRuns().length > 0);
  for (const folder of offlineRuns()) {
    const text = await Deno.readTextFile(join(folder, "data_config.json"));
    const value = JSON.parse(text);
    const made = formatDataConfig({
      targetModelPath: value.model.target_model_path,
      hiddenSize: value.model.hidden_size,
      layers: value.hidden_states.layer_ids,
      seqLength: value.data.seq_length,
      seed: value.data.seed,
      maxSamples: value.data.max_samples,
      trainDataPath: [value.data.train_data_path],
      numSamples: value.data.num_samples,
      command: value.reproducibility.command,
      packageVersions: value.reproducibility.package_versions,
      cacheDir: value.generation.cache_dir,
      generatedAt: new Date(value.generated_at),
      speculatorsVersion: value.speculators_version,
    });
    const undated = (s: string) => s.replace(/"generated_at": ".*"/, "");
    const expected = text.replace(
      /\],\n(\s*)"description"/,
      '],\n$1"layer_id_convention": "enters_layer",\n$1"description"',
    );
    assert.equal(undated(made), undated(expected), folder);
    assert.match(made, /"generated_at": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"/);
  }
});

Deno.test("upstream's layer ids are read counted + 1, ours as they are", async () => {
  for (const folder of offlineRuns()) {
    const value = JSON.parse(await Deno.readTextFile(join(folder, "data_config.json")));
    const read = await readDataConfig(folder);
    assert.deepEqual(read?.layers, value.hidden_states.layer_ids.map((id: number) => id + 1), folder);
    assert.equal(read?.countedLeaving, true);
  }
  await using folder = await testFolder();
  const config = {
    targetModelPath: "a",
    hiddenSize: 8,
    layers: [2, 4, 5, 8],
    seqLength: 16,
    seed: 0,
    maxSamples: null,
    trainDataPath: ["b", "c"],
  };
  await writeDataConfig(folder.path, config);
  const read = await readDataConfig(folder.path);
  assert.deepEqual(read?.layers, config.layers);
  assert.equal(read?.countedLeaving, undefined);
  assert.deepEqual(read?.trainDataPath, config.trainDataPath);
});

Deno.test("a data config of an unknown version is refused, a missing one is null", async () => {
  await using folder = await testFolder();
  assert.equal(await readDataConfig(folder.path), null);
  await folder.put("data_config.json", '{"version": "9.0"}');
  await assert.rejects(readDataConfig(folder.path), { code: "E_FORMAT" });
});

Deno.test("sample lengths are read and written with upstream's bytes", async () => {
  await using folder = await testFolder();
  for (const run of offlineRuns()) {
    const lengths = await readLengths(run);
    assert.ok(lengths.size > 0);
    await writeLengths(folder.path, lengths);
    const name = "sample_lengths.json";
    assert.deepEqual(await Deno.readFile(folder.at(name)), await Deno.readFile(join(run, name)), run);
  }
  assert.equal(formatLengths(new Map()), "{}");
});

Deno.test("sample lengths that are no numbers are refused", async () => {
  await using folder = await testFolder();
  await folder.put("sample_lengths.json", '{"0": "many"}');
  await assert.rejects(readLengths(folder.path), { code: "E_FORMAT" });
});
