/** The command `evaluate`: goldens, several data sets, settings from files, and what it writes. */
import assert from "node:assert/strict";
import { readResults } from "../mod.ts";
import { cli, DIALOGUES, filesIn, inFolder, SPECULATOR, VERIFIER } from "./cli.ts";
import { golden, goldenJson } from "./golden.ts";

const WASM = ["--device", "wasm", "--quiet"];

interface GoldenDecode {
  readonly speculative_tokens: number;
  readonly rounds: number;
  readonly drafted: number;
  readonly accepted: number;
  readonly per_position: readonly number[];
  readonly mean_accepted_length: number;
  readonly prompts: readonly { readonly prompt: string; readonly output: readonly number[] }[];
}

const round4 = (x: number) => Math.round(x * 1e4) / 1e4;

Deno.test("an evaluation counts what the Python system counted, one text at a time and several, in one data set and two", () =>
  inFolder(async (at) => {
    const wanted = goldenJson<GoldenDecode>("generate", "decode.json");
    const lines = wanted.prompts.map(({ prompt }) => JSON.stringify({ prompt }) + "\n");
    await Deno.writeTextFile(at("all.jsonl"), lines.join(""));
    await Deno.writeTextFile(at("first.jsonl"), lines.slice(0, 3).join(""));
    await Deno.writeTextFile(at("rest.jsonl"), lines.slice(3).join(""));
    const evaluated = async (...more: string[]) => {
      const paths = ["-b", VERIFIER, "-s", golden("generate", "draft")];
      const { code, out, err } = await cli(["evaluate", ...paths, "--json", ...WASM, ...more]);
      assert.equal(code, 0, err);
      return JSON.parse(out);
    };
    const spec = ["--num-spec-tokens", String(wanted.speculative_tokens)];
    const one = await evaluated("-d", at("all.jsonl"), ...spec);
    assert.deepEqual([one.rounds, one.drafted, one.accepted], [
      wanted.rounds,
      wanted.drafted,
      wanted.accepted,
    ]);
    assert.deepEqual(one.acceptance_per_position.map(round4), wanted.per_position);
    assert.equal(round4(one.mean_accepted_length), wanted.mean_accepted_length);
    assert.deepEqual(one.outputs, wanted.prompts.map(({ output }) => output));
    assert.equal(one.identical, true);
    const sets = ["-d", at("first.jsonl"), "-d", at("rest.jsonl")];
    const two = await evaluated(...sets, "--concurrency", "3", ...spec);
    assert.deepEqual(two.outputs, one.outputs);
    assert.deepEqual(two.accepted_per_position, one.accepted_per_position);
    assert.deepEqual(
      two.data_sets.map(({ name, prompts }: { name: string; prompts: number }) => [name, prompts]),
      [
        ["first", 3],
        ["rest", 5],
      ],
    );
    assert.equal(two.data_sets[0].rounds + two.data_sets[1].rounds, wanted.rounds);
    assert.equal(two.identical, true);
  }));

Deno.test("sampled texts are the verifier's own, and do not depend on how many are written at once", async () => {
  const outputs = async (concurrency: string) => {
    const sampling = ["--temperature", "0.8", "--top-p", "0.9", "--seed", "3", "--max-tokens", "12"];
    const paths = ["-b", VERIFIER, "-s", SPECULATOR, "-d", DIALOGUES, "--limit", "4"];
    const { code, out, err } = await cli([
      ...["evaluate", ...paths, ...sampling, "--concurrency", concurrency, "--json", ...WASM],
    ]);
    assert.equal(code, 0, err);
    assert.equal(JSON.parse(out).identical, true);
    return JSON.parse(out).outputs;
  };
  assert.deepEqual(await outputs("4"), await outputs("1"));
});

Deno.test("settings come from flags, then from the file, then by default", () =>
  inFolder(async (at) => {
    await Deno.writeTextFile(
      at("run.env"),
      `BASE_MODEL="${VERIFIER}"\nSPECULATOR_MODEL="${SPECULATOR}"\nDATASET="${DIALOGUES}"\n` +
        `NUM_SPEC_TOKENS=2\nLIMIT=3\nMAX_TOKENS=6\nOUTPUT_DIR="${at("out")}"\n`,
    );
    const { code, err } = await cli([
      "evaluate",
      "-c",
      at("run.env"),
      "--limit",
      "1",
      "--name",
      "a",
      ...WASM,
    ]);
    assert.equal(code, 0, err);
    assert.deepEqual(await filesIn(at("out")), ["acceptance.csv", "report.html", "results.json"]);
    const run = await readResults(at("out"));
    assert.deepEqual([run.name, run.engine, run.all.prompts], ["a", "local", 1]);
    assert.deepEqual([run.settings["maxTokens"], run.settings["limit"], run.settings["temperature"]], [
      6,
      1,
      0,
    ]);
    assert.equal(run.all.acceptance_per_position.length, 2);
    const csv = (await Deno.readTextFile(at("out", "acceptance.csv"))).trimEnd().split("\n");
    assert.match(
      csv[0]!,
      /^subset,num_drafts,num_draft_tokens,num_accepted_tokens,acceptance_length,acceptance_at_pos_0,/,
    );
    assert.deepEqual(csv.map((line) => line.split(",")[0]), ["subset", "dialogues.held-out", "all"]);
    assert.equal(Number(csv[1]!.split(",")[1]), run.all.rounds);
    const page = await Deno.readTextFile(at("out", "report.html"));
    assert.ok(page.includes("Evaluation of a") && !/(src|href)="https?:/.test(page));

    const compared = await cli([
      "evaluate",
      "compare",
      at("out"),
      `b=${at("out", "results.json")}`,
      "-o",
      at("both"),
    ]);
    assert.equal(compared.code, 0, compared.err);
    assert.match(compared.out, /^run +engine/m);
    assert.match(compared.out, /^b +local/m);
    assert.deepEqual(await filesIn(at("both")), ["comparison.html"]);
  }));

Deno.test("what cannot be evaluated or compared is refused with what to do", () =>
  inFolder(async (at) => {
    await Deno.writeTextFile(at("bad.yaml"), "num-spec-tokns: 3\n");
    await Deno.writeTextFile(at("value.yaml"), "limit: many\n");
    await Deno.writeTextFile(at("other.json"), '{"schema": "x", "version": 1}');
    await Deno.writeTextFile(
      at("cut.json"),
      '{"schema": "speculators-evaluation", "version": 1, "name": "a"}',
    );
    const cases: [string[], RegExp, number][] = [
      [
        ["evaluate", "-c", at("bad.yaml")],
        /received "numSpecTokns"\nhint: Did you mean --num-spec-tokens\?/,
        1,
      ],
      [["evaluate", "-c", at("value.yaml")], /limit": expected a whole number from 1 on, received "many"/, 1],
      [["evaluate", "-c", at("none.env")], /none\.env/, 1],
      [
        ["evaluate", "compare", at("other.json"), at("other.json")],
        /expected schema speculators-evaluation/,
        1,
      ],
      [["evaluate", "compare", at("cut.json"), at("cut.json")], /expected a text as created/, 1],
      [["evaluate", "compare", at("cut.json")], /expected 2 to 8 evaluations, received 1/, 1],
      [
        ["evaluate", "-b", VERIFIER, "-s", SPECULATOR, "-d", at("none/x.jsonl"), ...WASM],
        /none\/x\.jsonl/,
        1,
      ],
    ];
    for (const [args, message, code] of cases) {
      const found = await cli(args);
      assert.match(found.err, message);
      assert.equal(found.code, code, found.err);
    }
  }));
