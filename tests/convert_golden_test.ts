/** Conversions against what the Python system wrote. The Eagle and Eagle-3 goldens are found by their index. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { createRuntime, finish, SpeculatorsError } from "../mod.ts";
import { convert, type ConvertOptions, type ConvertResult } from "../core/stages/convert.ts";
import { toFloat32 } from "../core/formats/dtype.ts";
import { openWeights } from "../core/formats/weights.ts";
import { testFolder } from "../core/formats/_test_folder.ts";
import { golden, goldenJson } from "./golden.ts";

interface Case {
  readonly name: string;
  readonly note: string;
  readonly args: readonly string[];
  readonly error: { readonly type: string; readonly message: string } | null;
  readonly random_tensors?: readonly string[];
  readonly tensors?: readonly { readonly name: string }[];
}

/** Fields that say nothing, which transformers leaves in every config. */
const LEFT_OVERS = ["auto_map", "base_model_ep_plan", "has_no_defaults_at_init", "transformers_version"];

const { cases } = goldenJson<{ cases: Case[] }>("convert", "cases.json");
const root = golden("convert");

function optionsOf({ args }: Case, outputPath: string): ConvertOptions {
  const value = (flag: string) => args[args.indexOf(flag) + 1]!;
  const kwargs = args.includes("--algorithm-kwargs") ? JSON.parse(value("--algorithm-kwargs")) : undefined;
  return {
    model: join(root, args[1]!),
    algorithm: value("--algorithm"),
    verifier: join(root, value("--verifier")),
    outputPath,
    validate: args.includes("--validate-device"),
    ...(kwargs === undefined ? {} : { algorithmKwargs: kwargs }),
  };
}

async function run(options: ConvertOptions): Promise<ConvertResult> {
  return await finish(convert(options, await createRuntime({ device: "wasm" })));
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  const config = JSON.parse(await Deno.readTextFile(path));
  for (const name of LEFT_OVERS) delete config[name];
  const { verifier } = config.speculators_config;
  // The path of the verifier is written as it was given; here it is absolute.
  if (verifier.name_or_path.startsWith(root)) {
    verifier.name_or_path = verifier.name_or_path.slice(root.length + 1);
  }
  return config;
}

async function equalWeights(actual: string, expected: string): Promise<void> {
  using ours = await openWeights(actual);
  using theirs = await openWeights(expected);
  assert.deepEqual([...ours.names()].sort(), [...theirs.names()].sort());
  for (const name of theirs.names()) {
    const [a, b] = [await ours.read(name), await theirs.read(name)];
    assert.deepEqual([a.dtype, a.shape], [b.dtype, b.shape], name);
    assert.ok(a.bytes.every((byte, i) => byte === b.bytes[i]), `bytes of ${name}`);
  }
}

for (const one of cases) {
  const fails = one.error !== null || (one.random_tensors ?? []).length > 0;
  Deno.test(`convert --strict-upstream ${fails ? "refuses" : "repeats"} ${one.name}: ${one.note}`, async () => {
    await using folder = await testFolder();
    const output = folder.at("converted"), options = { ...optionsOf(one, output), strictUpstream: true };
    if (fails) {
      await assert.rejects(run(options), (error) => {
        assert.ok(error instanceof SpeculatorsError, String(error));
        for (const name of one.random_tensors ?? []) assert.match(error.message, new RegExp(missing(name)));
        return true;
      });
      assert.deepEqual([...Deno.readDirSync(folder.path)], [], "nothing is left behind");
      return;
    }
    await run(options);
    const expected = join(root, one.name, "expected");
    assert.deepEqual(
      await readConfig(join(output, "config.json")),
      await readConfig(join(expected, "config.json")),
    );
    await equalWeights(output, expected);
    assert.equal(
      await Deno.readTextFile(join(output, "generation_config.json")),
      await Deno.readTextFile(join(expected, "generation_config.json")),
    );
  });
}

/** A checkpoint whose weights are a level below is refused by that level's name, before tensors are looked for. */
function missing(name: string): string {
  return `${name.replaceAll(".", "\\.")}|"state_dict"`;
}

for (
  const one of cases.filter(({ error, random_tensors: random = [] }) => error === null && random.length === 0)
) {
  Deno.test(`convert makes of ${one.name} a draft that runs, losing nothing: ${one.note}`, async () => {
    await using folder = await testFolder();
    const output = folder.at("converted"), options = { ...optionsOf(one, output), validate: true };
    const { target_hidden_size: width } = JSON.parse(
      await Deno.readTextFile(join(options.model, "config.json")),
    );
    if (width !== undefined) {
      // Made for a verifier of another width than the one that is named.
      await assert.rejects(run(options), new RegExp(`hidden_size": expected ${width} `));
      return;
    }
    const { validation, unexpected } = await run(options);
    assert.deepEqual(validation?.problems, []);
    using source = await openWeights(options.model);
    using ours = await openWeights(output);
    const numbers = async (from: typeof source, name: string) => [...toFloat32(await from.read(name))].join();
    const written = new Set(await Promise.all(ours.names().map((name) => numbers(ours, name))));
    for (const name of source.names().filter((name) => !unexpected.includes(name))) {
      assert.ok(written.has(await numbers(source, name)), `${name} is in the result`);
    }
  });
}
