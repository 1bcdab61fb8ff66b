import assert from "node:assert/strict";
import type { Chart } from "./chart.ts";
import { chartKit } from "./draw.ts";

const kit = chartKit(), SIZE = { width: 500, height: 280 };

function chart(y: (number | null)[], more: Partial<Chart> = {}): Chart {
  const series = [{ name: "one", colour: 0, x: y.map((_, i) => i), y }];
  return { title: "Title", xLabel: "step", format: "number", series, ...more };
}

const path = (svg: string): string => / d="([^"]*)"/.exec(svg)?.[1] ?? "";

Deno.test("a curve is one path, in parts where there are gaps, with a dot for a lone point", () => {
  assert.match(path(kit.draw(chart([1, 2, 3]), SIZE)), /^M[\d.]+ [\d.]+L[\d.]+ [\d.]+L[\d.]+ [\d.]+$/);
  const gaps = kit.draw(chart([1, 2, null, 3, null, 4, 5]), SIZE);
  assert.equal(path(gaps).match(/M/g)?.length, 3);
  assert.equal(gaps.match(/<circle/g)?.length, 1);
  const [first, , last] = path(kit.draw(chart([0, 1, 2]), SIZE)).slice(1).split("L").map((xy) =>
    xy.split(" ").map(Number)
  );
  assert.ok(
    first![0]! < last![0]! && first![1]! > last![1]!,
    "higher numbers stand higher, later ones to the right",
  );
});

Deno.test("one point, equal points, huge ones and none at all are drawn inside the picture", () => {
  for (const y of [[3], [0, 0], [1e300, -1e300], [1e-300], [-5, -5], [null], [], [NaN, 1, Infinity]]) {
    for (const format of ["number", "percent", "bytes", "seconds"] as const) {
      const svg = kit.draw(chart(y.map((value) => Number.isFinite(value) ? value : null), { format }), SIZE);
      assert.doesNotMatch(svg, /NaN|Infinity|undefined/);
      for (const [, left, top] of svg.matchAll(/[ML]([-\d.]+) ([-\d.]+)/g)) {
        assert.ok(
          Number(left) >= 0 && Number(left) <= SIZE.width && Number(top) >= 0 && Number(top) <= SIZE.height,
          svg,
        );
      }
    }
  }
  assert.match(kit.draw(chart([null]), SIZE), /no numbers yet/);
  assert.match(kit.draw(chart([3]), SIZE), /<circle/);
});

Deno.test("axes have round numbers, shares end at their whole", () => {
  const labels = (svg: string) => [...svg.matchAll(/text-anchor="end">([^<]*)</g)].map(([, text]) => text);
  assert.deepEqual(labels(kit.draw(chart([0, 10]), SIZE)), ["0", "2", "4", "6", "8", "10"]);
  const shares = kit.draw(chart([0, 1], { format: "percent" }), SIZE);
  assert.deepEqual(labels(shares), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
  const bytes = kit.draw(chart([0, 40e6], { format: "bytes", fromZero: true }), SIZE);
  assert.deepEqual(labels(bytes), ["0 B", "10 MiB", "20 MiB", "30 MiB", "40 MiB"]);
});

Deno.test("bars are as high as their numbers, from 0 on", () => {
  const svg = kit.draw(chart([2, 4, null], { categories: ["a", "b", "c"] }), SIZE);
  const heights = [...svg.matchAll(/<rect [^>]*height="([\d.]+)"/g)].map(([, height]) => Number(height));
  assert.equal(heights.length, 2);
  assert.ok(Math.abs(heights[1]! / heights[0]! - 2) < 0.01, `${heights}`);
  assert.match(svg, />a<[^]*>b<[^]*>c</);
  const long = chart([1, 2], { categories: ["a".repeat(99), "<".repeat(99)] });
  assert.match(kit.draw(long, SIZE), />a{20,40}…<[^]*>(?:&lt;){20,40}…</);
  assert.equal(kit.at(long, SIZE, 0)!.label, "a".repeat(99));
});

Deno.test("what lies at a place is the nearest point of each curve that has one there", () => {
  const series = [
    { name: "long", colour: 0, x: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], y: [0, 1, 2, 3, null, 5, 6, 7, 8, 9] },
    { name: "late", colour: 9, x: [9], y: [0.5] },
    { name: "pale", colour: 2, look: "faint" as const, x: [0, 9], y: [1, 1] },
  ];
  const shown = chart([], { series });
  const left = kit.at(shown, SIZE, 0)!, right = kit.at(shown, SIZE, 500)!;
  assert.deepEqual([left.label, left.values], ["step 0", [{ name: "long", colour: 0, text: "0" }]]);
  assert.deepEqual(right.values.map(({ name, colour, text }) => [name, colour, text]), [
    ["long", 0, "9"],
    ["late", 1, "0.5"],
  ]);
  assert.equal(kit.at(chart([null]), SIZE, 10), null);
});

Deno.test("numbers are written short", () => {
  const cases: [number, Parameters<typeof kit.write>[1], string][] = [
    [0, "number", "0"],
    [0.12345, "number", "0.1235"],
    [1e-4, "number", "1e-4"],
    [1.25e-5, "number", "1.25e-5"],
    [12_345, "number", "12.35k"],
    [7_000_000, "number", "7M"],
    [-3, "number", "-3"],
    [100, "number", "100"],
    [0.5, "percent", "50 %"],
    [1, "percent", "100 %"],
    [0.1234, "percent", "12.3 %"],
    [45_000_000, "bytes", "42.92 MiB"],
    [0, "bytes", "0 B"],
    [0.012, "seconds", "12 ms"],
    [90, "seconds", "90 s"],
    [600, "seconds", "10 min"],
    [36_000, "seconds", "10 h"],
  ];
  for (const [value, format, text] of cases) assert.equal(kit.write(value, format), text);
});

Deno.test("the text of the code is all that it needs", () => {
  // As a browser has it: nothing of this module is in sight.
  const alone = new Function(`return (${chartKit})();`)() as typeof kit;
  const one = chart([1, null, 3]);
  assert.equal(alone.draw(one, SIZE), kit.draw(one, SIZE));
});
