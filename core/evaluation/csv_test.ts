import assert from "node:assert/strict";
import { acceptanceCsv, sweepCsv } from "./csv.ts";
import { Tally } from "./figures.ts";
import { evaluationRun } from "./run.ts";

Deno.test("names that need quotes get them, those that look like formulas stay texts, and positions that lack are 0", () => {
  const short = new Tally(), long = new Tally();
  short.acceptance.add(1, 1);
  long.acceptance.add(2, 0);
  const about = { name: "a", engine: "local", base: null, speculator: null, settings: {} };
  const run = evaluationRun({
    ...long.figures(),
    identical: null,
    data_sets: [{ name: 'a,"b"', ...short.figures() }, { name: "=1+1", ...long.figures() }],
  }, about);
  const lines = acceptanceCsv(run).trimEnd().split("\n");
  assert.ok(lines[0]!.includes("acceptance_at_pos_0,acceptance_at_pos_1,conditional_acceptance_at_pos_0,"));
  assert.ok(lines[1]!.startsWith('"a,""b""",1,1,1,2,1,0,1,0,0,'), lines[1]);
  assert.ok(lines[2]!.startsWith("'=1+1,1,2,0,1,0,0,0,0,0,"), lines[2]);
  assert.equal(lines[1]!.replace('"a,""b"""', "x").split(",").length, lines[0]!.split(",").length);
  assert.equal(sweepCsv(run).split("\n").length, 2);
});
