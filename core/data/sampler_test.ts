import assert from "node:assert/strict";
import { multipackBatches } from "./sampler.ts";
import { goldenJson } from "../../tests/golden.ts";

interface SamplerCase {
  name: string;
  lengths: number[];
  max_len: number;
  num_replicas: number;
  truncate_long_samples: boolean;
  seed: number;
  epoch: number;
  ranks: number[][][];
  same_with_stable_sort: boolean;
  ranks_with_stable_sort?: number[][][];
}

Deno.test("multipack batches are upstream's on every rank", () => {
  const cases = goldenJson<SamplerCase[]>("batches", "sampler.json");
  assert.ok(cases.length > 0);
  for (const c of cases) {
    const batches = multipackBatches(c.lengths, {
      maxLength: c.max_len,
      ranks: c.num_replicas,
      seed: c.seed,
      epoch: c.epoch,
      truncateLongSamples: c.truncate_long_samples,
    });
    const expected = c.same_with_stable_sort ? c.ranks : c.ranks_with_stable_sort;
    assert.deepEqual(batches, expected, `${c.name}, ${c.num_replicas} ranks, epoch ${c.epoch}`);
  }
});

Deno.test("a token budget that is no positive integer is refused", () => {
  assert.throws(() => multipackBatches([1], { maxLength: 0 }), { code: "E_CONFIG" });
});
