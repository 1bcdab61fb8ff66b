import assert from "node:assert/strict";
import { inFolder } from "../../tests/cli.ts";
import { ConfigError, FormatError } from "../errors.ts";
import { readEvaluationFile } from "./config_file.ts";

const NAMES = [
  "base",
  "speculator",
  "numSpecTokens",
  "dataset",
  "temperature",
  "name",
  "outputDir",
  "quiet",
  "a",
];

async function read(name: string, text: string) {
  let found = {};
  await inFolder(async (at) => {
    await Deno.writeTextFile(at(name), text);
    found = await readEvaluationFile(at(name), NAMES);
  });
  return found as Record<string, unknown>;
}

Deno.test("lines of KEY=VALUE are read as a shell reads them, upstream's names as ours", async () => {
  const found = await read(
    "x.env",
    [
      "# a remark",
      'BASE_MODEL="organisation/base"   # behind it',
      "SPECULATOR_MODEL='a # b'",
      "export NUM_SPEC_TOKENS=3",
      'DATASET="organisation/set:math.jsonl"',
      "TEMPERATURE=0.6",
      "METHOD=",
      'NAME="say \\"so\\""',
      'OUTPUT_DIR="results_$(date +%Y%m%d_%H%M%S)"',
      "",
    ].join("\r\n"),
  );
  const { outputDir, ...rest } = found;
  assert.deepEqual(rest, {
    base: "organisation/base",
    speculator: "a # b",
    numSpecTokens: "3",
    dataset: "organisation/set:math.jsonl",
    temperature: "0.6",
    name: 'say "so"',
  });
  assert.match(outputDir as string, /^results_\d{8}_\d{6}$/);
});

Deno.test("YAML and JSON are read, names in any spelling", async () => {
  const wanted = { base: "b", numSpecTokens: "3", dataset: ["x", "y"], quiet: true };
  assert.deepEqual(
    await read("x.yaml", "base-model: b\nnum_spec_tokens: 3\ndatasets: [x, y]\nquiet: true\nname:\n"),
    wanted,
  );
  assert.deepEqual(
    await read("x.json", '{"BASE_MODEL": "b", "numSpecTokens": 3, "data": ["x", "y"], "quiet": true}'),
    wanted,
  );
});

Deno.test("nothing in a file is executed: what would have to be is refused", async () => {
  for (const value of ['"$(rm -rf x)"', '"${HOME}/x"', "$HOME", '"`date`"', '"$(date +%Y; rm x)"']) {
    await assert.rejects(read("x.env", `OUTPUT_DIR=${value}`), ConfigError, value);
  }
  assert.deepEqual(await read("x.env", "NAME='$HOME'"), { name: "$HOME" });
});

Deno.test("files that are none are refused with the place", async () => {
  await assert.rejects(read("x.env", "A=1\nno equals"), /on line 2/);
  await assert.rejects(read("x.env", "A=two words"), FormatError);
  await assert.rejects(read("x.yaml", "a: [1"), FormatError);
  await assert.rejects(read("x.yaml", "- a"), FormatError);
  await assert.rejects(read("x.yaml", "a: {b: 1}"), /x\.yaml: a/);
});
