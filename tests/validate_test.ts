/** What `validate` finds, and that it finds nothing where there is nothing. */
import assert from "node:assert/strict";
import { convert as cast, hostTensor } from "../core/formats/dtype.ts";
import { openSafetensors, writeSafetensors } from "../core/formats/safetensors.ts";
import type { HostTensor } from "../mod.ts";
import { cli, inFolder, SPECULATOR, VERIFIER } from "./cli.ts";
import { floats, SIZES, writeEagle3, writeVerifierConfig } from "./research.ts";

type At = (...parts: string[]) => string;

async function converted(at: At): Promise<void> {
  await writeVerifierConfig(at("verifier"));
  await writeEagle3(at("source"));
  const args = ["convert", at("source"), "--algorithm", "eagle3", "--verifier", at("verifier")];
  const { code, err } = await cli([...args, "--output-path", at("out"), "--quiet"]);
  assert.equal(code, 0, err);
}

async function change(path: string, work: (tensors: Map<string, HostTensor>) => void): Promise<void> {
  const tensors = new Map<string, HostTensor>();
  {
    using file = await openSafetensors(path);
    for (const name of file.names()) tensors.set(name, await file.read(name));
  }
  work(tensors);
  await writeSafetensors(path, tensors);
}

async function problemsOf(at: At): Promise<{ code: number; problems: string[] }> {
  const { code, out } = await cli(["validate", at("out"), "--json", "--quiet"]);
  return { code, problems: JSON.parse(out).problems };
}

Deno.test("a speculator is valid by its files, and decodes on its verifier", () =>
  inFolder(async (at) => {
    await converted(at);
    assert.deepEqual(await problemsOf(at), { code: 0, problems: [] });
    const args = ["validate", SPECULATOR, "--verifier", VERIFIER, "--device", "wasm", "--quiet"];
    const { code, out, err } = await cli(args);
    assert.equal(code, 0, err);
    assert.match(out, /Decoded 8 tokens, [1-9] of them proposed/);
  }));

const WRONGS: readonly [what: string, work: (tensors: Map<string, HostTensor>) => void, told: RegExp][] = [
  [
    "a tensor that is missing",
    (tensors) => void tensors.delete("fc.weight"),
    /"fc\.weight" \[16, 48\] is missing/,
  ],
  [
    "a tensor of another shape",
    (tensors) => void tensors.set("norm.weight", floats([3], 1)),
    /"norm\.weight" is \[3\]/,
  ],
  ["a tensor of integers", (tensors) => {
    tensors.set("norm.weight", hostTensor(new Int32Array(SIZES.hidden), [SIZES.hidden]));
  }, /"norm\.weight" is i32/],
  [
    "a tensor without a place",
    (tensors) => void tensors.set("more.weight", floats([3], 1)),
    /vLLM has no place for .*"more\.weight"/,
  ],
  ["a number that is none", (tensors) => {
    const values = new Float32Array(SIZES.hidden).fill(NaN);
    tensors.set("norm.weight", cast(hostTensor(values, [SIZES.hidden]), "bf16"));
  }, /"norm\.weight", received NaN at entry 0/],
  ["a mapping outside of the vocabulary", (tensors) => {
    tensors.set("d2t", hostTensor(new BigInt64Array(SIZES.draftVocab).fill(100n), [SIZES.draftVocab]));
  }, /"d2t" maps draft id 0 to 100, outside/],
  ["halves of a mapping that disagree", (tensors) => {
    const kept = new Uint8Array(SIZES.vocab).fill(1);
    tensors.set("t2d", { ...hostTensor(kept, [SIZES.vocab]), dtype: "bool" });
  }, /"t2d" keeps 40 ids, and "d2t" maps to 12/],
  [
    "a mapping that is missing",
    (tensors) => (tensors.delete("d2t"), void tensors.delete("t2d")),
    /no "d2t": vLLM/,
  ],
];

for (const [what, work, told] of WRONGS) {
  Deno.test(`validate names ${what}`, () =>
    inFolder(async (at) => {
      await converted(at);
      await change(at("out", "model.safetensors"), work);
      const { code, problems } = await problemsOf(at);
      assert.equal(code, 1);
      assert.ok(problems.some((problem) => told.test(problem)), problems.join("\n"));
    }));
}

Deno.test("validate names what is wrong with a config, and looks at the weights all the same", () =>
  inFolder(async (at) => {
    await converted(at);
    const path = at("out", "config.json"), config = JSON.parse(await Deno.readTextFile(path));
    config.transformer_layer_config.hidden_size = "wide";
    await Deno.writeTextFile(path, JSON.stringify(config));
    const { code, out, err } = await cli(["validate", at("out")]);
    assert.equal(code, 1);
    assert.match(out, /1 problem\n.*transformer_layer_config\.hidden_size/);
    assert.match(err, /error: Cannot use/);
  }));

Deno.test("validate says so when there is no such folder", async () => {
  const { code, out } = await cli(["validate", "/nowhere/at/all"]);
  assert.equal(code, 1);
  assert.match(out, /\/nowhere\/at\/all/);
});
