import assert from "node:assert/strict";
import { splitSamples } from "./split.ts";
import { goldenJson } from "../../tests/golden.ts";

interface SplitCase {
  count: number;
  ratio: number;
  seed: number;
  train: string[];
  val: string[];
}

Deno.test("a split into training and validation is upstream's of the files in order of number", () => {
  const cases = goldenJson<SplitCase[]>("batches", "splits.json");
  assert.ok(cases.length > 0);
  for (const { count, ratio, seed, train, val } of cases) {
    const files = Array.from({ length: count }, (_, i) => `data_${i}.pt`);
    assert.deepEqual(
      splitSamples(files, { ratio, seed }),
      { train, validation: val },
      `${count} at ${ratio}`,
    );
  }
});
