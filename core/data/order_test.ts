import assert from "node:assert/strict";
import { numpyPermutation } from "./random.ts";
import { type OrderOptions, orderRecords } from "./order.ts";

function list(counts: readonly number[], options: OrderOptions): [source: number, record: number][] {
  const order = orderRecords(counts, options);
  return Array.from({ length: order.length }, (_, i) => [order.source(i), order.record(i)]);
}

Deno.test("sources come one after the other, each shuffled by itself, up to the limit", () => {
  const all = list([3, 5], { seed: 4 });
  assert.deepEqual(all, [
    ...[...numpyPermutation(3, 4)].map((record) => [0, record]),
    ...[...numpyPermutation(5, 4)].map((record) => [1, record]),
  ]);
  assert.deepEqual(list([3, 5], { seed: 4, limit: 4 }), all.slice(0, 4));
});

Deno.test("mixed sources keep their shares at every point, until one is used up", () => {
  const found = list([100, 40], { seed: 0, weights: [3, 1] });
  for (let n = 4; n <= found.length; n++) {
    const first = found.slice(0, n).filter(([source]) => source === 0).length;
    assert.ok(Math.abs(first - n * 0.75) <= 1, `${first} of ${n}`);
  }
  assert.equal(found.filter(([source]) => source === 0).length, 100);
  assert.ok(found.length >= 132 && found.length <= 134, `${found.length}`);
  assert.equal(new Set(found.map(String)).size, found.length);
});

Deno.test("shards put together are the whole, whatever their number", () => {
  const whole = list([11, 7], { seed: 1, weights: [1, 1], limit: 13 });
  for (const count of [1, 2, 5, 20]) {
    const parts = Array.from(
      { length: count },
      (_, index) => list([11, 7], { seed: 1, weights: [1, 1], limit: 13, shard: { index, count } }),
    );
    assert.deepEqual(parts.flat(), whole);
  }
  assert.throws(() => list([3], { seed: 0, shard: { index: 2, count: 2 } }), /from 1 to 2, received 3/);
});
