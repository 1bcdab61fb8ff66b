import assert from "node:assert/strict";
import { inFolder } from "../../tests/cli.ts";
import { SpeculatorsError } from "../errors.ts";
import { percentiles } from "../load/summary.ts";
import { reportPage } from "../report/page.ts";
import { acceptanceCsv, sweepCsv } from "./csv.ts";
import { Tally } from "./figures.ts";
import { evaluationReport } from "./report.ts";
import { type EvaluationRun, readResults } from "./results.ts";
import { evaluationRun } from "./run.ts";

function valid(): EvaluationRun {
  const tally = new Tally(), times = percentiles([1, 2]);
  tally.acceptance.add(2, 1);
  tally.text("plain", { tokens: 3, firstMs: 1, totalMs: 5 });
  tally.text("speculative", { tokens: 3, firstMs: 1, totalMs: 4 });
  const figures = tally.figures();
  return evaluationRun({
    ...figures,
    identical: true,
    data_sets: [{ name: "x", ...figures }],
    sweep: [{
      ...{ data_set: "x", strategy: "concurrency", target: 1, completed: 2, refused: 0, failed: 0 },
      ...{
        requests_per_second: 1,
        output_tokens: 6,
        output_tokens_per_second: 3,
        mean_accepted_length: null,
      },
      ...{ time_to_first_token_ms: times, time_per_output_token_ms: times, latency_ms: times },
    }],
  }, { name: "run", engine: "local", base: "B", speculator: "S", settings: { seed: 0 } });
}

/** Every way to one entry of a value. */
function ways(value: unknown): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [[]];
  return [[], ...Object.entries(value).flatMap(([key, inner]) => ways(inner).map((way) => [key, ...way]))];
}

Deno.test("results are read as they were written", () =>
  inFolder(async (at) => {
    await Deno.writeTextFile(at("results.json"), JSON.stringify(valid()));
    const { created: _, ...read } = await readResults(at("")), { created: __, ...wrote } = valid();
    assert.deepEqual(read, wrote);
  }));

Deno.test("results with any entry missing or of another kind are refused, or still shown", () =>
  inFolder(async (at) => {
    let refused = 0;
    for (const way of ways(valid()).filter((way) => way.length > 0)) {
      for (const wrong of [undefined, "wrong", null, -1e999, {}]) {
        const run = structuredClone(valid()) as unknown as Record<string | number, unknown>;
        const inner = way.slice(0, -1).reduce((found, key) => found[key] as typeof run, run);
        inner[way.at(-1)!] = wrong;
        await Deno.writeTextFile(at("results.json"), JSON.stringify(run));
        try {
          const read = await readResults(at("results.json"));
          reportPage(evaluationReport([read]));
          reportPage(evaluationReport([read, valid()]));
          acceptanceCsv(read);
          sweepCsv(read);
        } catch (error) {
          assert.ok(
            error instanceof SpeculatorsError,
            `${way.join(".")}: ${error}`,
          );
          refused++;
        }
      }
    }
    assert.ok(refused > 200, String(refused));
  }));
