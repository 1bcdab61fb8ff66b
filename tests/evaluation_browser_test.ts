/** Reports of evaluations in a real browser. */
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { Tally } from "../core/evaluation/figures.ts";
import {
  type EvaluationRun,
  evaluationRun,
  percentiles,
  type SweepPoint,
  writeComparison,
  writeResults,
} from "../mod.ts";
import { browserMissing, chromium, inBrowser, type View } from "./browser.ts";
import { inFolder } from "./cli.ts";

const ignore = chromium() === null;

/** Name of a data set that would be markup if it were taken as it. */
const HOSTILE = "<img src=x onerror=\"document.title='broken into'\">";

/** A made-up run: each round proposes three tokens. */
function madeUp(
  name: string,
  sets: readonly (readonly [name: string, accepted: readonly number[]])[],
): EvaluationRun {
  const all = new Tally();
  const tallies = sets.map(([name, accepted]) => {
    const tally = new Tally();
    for (const [i, n] of accepted.entries()) {
      tally.acceptance.add(3, n);
      tally.text("plain", { tokens: 20, firstMs: 8, totalMs: 100 + i });
      tally.text("speculative", { tokens: 20, firstMs: 9, totalMs: 60 + i });
    }
    all.add(tally);
    return { name, ...tally.figures() };
  });
  const sweep = [1, 2, 4].map((target): SweepPoint => ({
    data_set: sets[0]![0],
    strategy: "concurrency",
    target,
    completed: 8,
    refused: 0,
    failed: 0,
    requests_per_second: target,
    output_tokens: 160,
    output_tokens_per_second: 100 * target,
    time_to_first_token_ms: percentiles([5 * target, 9 * target]),
    time_per_output_token_ms: percentiles([target]),
    latency_ms: percentiles([100 * target]),
    mean_accepted_length: 2,
  }));
  const about = { name, engine: "local", base: "B", speculator: HOSTILE, settings: { temperature: 0 } };
  return evaluationRun({ ...all.figures(), data_sets: tallies, identical: true, sweep }, about);
}

/** Of each chart: its title, and whether it shows curves or bars that lie inside of it. */
const CHARTS = `[...document.querySelectorAll("figure")].map((figure) => {
  const box = figure.querySelector("svg").getBoundingClientRect();
  const marks = [...figure.querySelectorAll(".curve path, .curve circle, .bars rect")].map((m) => m.getBoundingClientRect());
  return { title: figure.querySelector("h3").textContent, marks: marks.length,
    inside: marks.every((m) => m.left >= box.left - 2 && m.right <= box.right + 2 && m.bottom <= box.bottom + 2) };
})`;

async function checkCharts(view: View, titles: readonly string[]): Promise<void> {
  const found = await view.value<{ title: string; marks: number; inside: boolean }[]>(CHARTS);
  assert.deepEqual(found.map(({ title }) => title), titles);
  for (const { title, marks, inside } of found) assert.ok(marks > 0 && inside, title);
}

const LOADS = [
  "Tokens per second (concurrency)",
  "Time to first token, median (concurrency)",
  "Time per token, median (concurrency)",
  "Time of a request, 99th percentile (concurrency)",
];

Deno.test({
  name: "the report of an evaluation and a comparison are drawn, wide and on a phone" + browserMissing(),
  ignore,
  fn: () =>
    inFolder(async (at) => {
      const acceptance = [
        "Acceptance per position",
        "Conditional acceptance per position",
        "Mean accepted length",
      ];
      await writeResults(at("a"), madeUp("a", [["chat", [3, 1, 2]], [HOSTILE, [0, 1]]]));
      await writeResults(at("b"), madeUp("b", [["chat", [3, 3, 2]]]));
      await inBrowser(pathToFileURL(at("a", "report.html")).href, async (view) => {
        const speed = ["Tokens per second", "Time per token", "Time to first token", "Time of a text"];
        await checkCharts(view, [...acceptance, ...speed, ...LOADS]);
        assert.equal(await view.value("document.querySelectorAll('img').length"), 0);
        assert.equal(await view.value("document.title"), "Evaluation of a");
        await view.page.setViewport({ width: 360, height: 640 });
        await view.until("document.querySelector('figure svg').viewBox.baseVal.width < 350");
        assert.ok(
          await view.value<number>("document.documentElement.scrollWidth") <= 360,
          "it scrolls sideways",
        );
        assert.deepEqual(view.troubles, []);
      });
      const { page } = await writeComparison([at("a"), at("b")], at("both"));
      await inBrowser(pathToFileURL(page!).href, async (view) => {
        const speed = ["Speed-up", "Tokens per second with the draft", "Time to first token, median"];
        await checkCharts(view, [...acceptance, ...speed, ...LOADS]);
        const rows = await view.value<string[]>(
          "[...document.querySelectorAll('table tr')].map((tr) => tr.innerText)",
        );
        assert.ok(rows.some((row) => /^b\s+chat\s+3\s+3\s+9\s+8\s+3\.667/.test(row)), rows.join("\n"));
        assert.deepEqual(view.troubles, []);
      });
    }),
});
