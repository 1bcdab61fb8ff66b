/** Whole runs of data generation beside upstream's: the files that its script wrote from the same conversations. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatLengths } from "../core/data/lengths.ts";
import { readDataConfig } from "../core/data/data_config.ts";
import { readFrequencies } from "../core/data/frequencies.ts";
import { openSampleStore } from "../core/data/store.ts";
import { createRuntime, datagen, finish } from "../mod.ts";
import { inFolder, VERIFIER } from "./cli.ts";
import { golden } from "./golden.ts";

interface OfflineRun {
  argv: string[];
  already_there: number[];
  error: unknown;
  samples: Record<string, { input_ids?: number[]; loss_mask?: number[] }>;
}

const FLAGS = ["train-data-path", "seq-length", "seed", "max-samples", "batch-size", "start-idx"];

/** A run's flags. Those that upstream's own mistakes spoil are left out: mixed masks, and a start in an empty folder. */
function runsToCompare(): { name: string; folder: string; run: OfflineRun; flags: Record<string, string> }[] {
  const root = golden("preprocess", "offline");
  return [...Deno.readDirSync(root)].map(({ name }) => {
    const folder = join(root, name);
    const run: OfflineRun = JSON.parse(Deno.readTextFileSync(join(folder, "run.json")));
    const { values } = parseArgs({
      args: run.argv,
      options: Object.fromEntries(FLAGS.map((flag) => [flag, { type: "string" as const }])),
      strict: false,
    });
    return { name, folder, run, flags: values as Record<string, string> };
  }).filter(({ flags, run }) => Number(flags["batch-size"] ?? 8) <= 10 && run.error === null);
}

const optional = (path: string) => Deno.readTextFile(path).catch(() => null);

Deno.test("the files of a run are those of upstream's script", async () => {
  const runs = runsToCompare(), runtime = await createRuntime({ device: "wasm" });
  assert.ok(runs.length > 0);
  for (const { flags, folder, name, run } of runs) {
    await inFolder(async (at) => {
      const theirs = await readDataConfig(folder), number = (flag: string) => Number(flags[flag]);
      const result = await finish(datagen({
        targetModelPath: VERIFIER,
        trainDataPath: [golden("preprocess", "inputs", flags["train-data-path"]!)],
        outputDir: at("data"),
        tokenFreqPath: at("token_freq.pt"),
        seqLength: number("seq-length"),
        seed: number("seed") || 0,
        strictUpstream: true,
        dtype: "bf16",
        ...(flags["max-samples"] === undefined ? {} : { maxSamples: number("max-samples") }),
        ...(theirs ? { layerIds: theirs.layers } : {}),
      }, runtime));
      // Which tokens are trained on, how often: byte for byte what a pickle of that dict holds.
      assert.deepEqual(
        [...await readFrequencies(at("token_freq.pt"))],
        [...await readFrequencies(join(folder, "token_freq.pt"))],
        name,
      );
      const store = await openSampleStore(at("data"));
      for (const [file, sample] of Object.entries(run.samples)) {
        const index = Number(/\d+/.exec(file)![0]), ours = await store.read(index);
        assert.equal(store.path(index), at("data", file));
        if (run.already_there.includes(index)) continue; // not made by that run
        assert.deepEqual([...ours.inputIds], sample.input_ids, `${name}/${file}`);
        assert.deepEqual([...ours.lossMask], sample.loss_mask, `${name}/${file}`);
      }
      const lengths = await optional(join(folder, "sample_lengths.json"));
      if (lengths !== null) {
        // Upstream does not know the lengths of what an earlier run made.
        const known = new Map(
          (await Array.fromAsync(await store.lengths())).filter(([i]) => String(i) in JSON.parse(lengths)),
        );
        assert.equal(formatLengths(known), lengths, name);
        if (run.already_there.length === 0) {
          assert.equal(await optional(at("data", "sample_lengths.json")), lengths, name);
        }
      }
      if (theirs) {
        const ours = (await readDataConfig(at("data")))!;
        for (
          const field of [
            "layers",
            "hiddenSize",
            "seqLength",
            "seed",
            "maxSamples",
            "numSamples",
            "dtype",
          ] as const
        ) {
          assert.deepEqual(ours[field], theirs[field], `${name}: ${field}`);
        }
        assert.equal(ours.numSamples, result.samples);
        assert.deepEqual(
          keysOf(await optional(at("data", "data_config.json"))),
          [
            ...keysOf(await optional(join(folder, "data_config.json"))),
            "data.strict_upstream",
            "hidden_states.layer_id_convention",
            "model.weights_fingerprint",
          ].sort(),
        );
      }
    });
  }
});

/** Names of all fields, what is counted or versioned in them aside. */
function keysOf(text: string | null): string[] {
  const walk = (value: unknown, path: string): string[] => {
    const inside = typeof value === "object" && value !== null && !Array.isArray(value) &&
      !path.endsWith("versions");
    return inside
      ? Object.entries(value).flatMap(([key, item]) => walk(item, path === "" ? key : `${path}.${key}`))
      : [path];
  };
  return walk(JSON.parse(text!), "").sort();
}
