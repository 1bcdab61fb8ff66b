import assert from "node:assert/strict";
import type { PackedBatch } from "../../core/data/batch.ts";
import { anchorCandidates, blockRanges, drawAnchors } from "./anchors.ts";

function batchOf(lossMask: readonly number[], documents: readonly number[], noise = 0): PackedBatch {
  const rows = lossMask.length;
  return {
    tokens: Int32Array.from({ length: rows }, (_, i) => 7 * i % 11),
    lossMask: Uint8Array.from(lossMask),
    positions: new Int32Array(rows),
    documents: Int32Array.from(documents),
    lengths: [],
    hidden: Float32Array.from({ length: 2 * rows }, (_, i) => i + noise),
    last: new Float32Array(rows),
    auxWidth: 2,
    width: 1,
  };
}

Deno.test("an anchor is a trained row with a target in its block and its own text", () => {
  const batch = batchOf([1, 0, 0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1, 1, -1]);
  assert.deepEqual([...anchorCandidates(batch, { block: 3, first: 1 })], [3, 5]);
  assert.deepEqual([...anchorCandidates(batch, { block: 4, first: 1 })], [0, 3, 5]);
  assert.deepEqual([...anchorCandidates(batch, { block: 3, first: 0 })], [0, 3, 4, 5, 6]);
});

Deno.test("the draw is without repetition, in order, the same for the same batch and another with noise", () => {
  const rows = 200, ones = new Array<number>(rows).fill(1), zeros = new Array<number>(rows).fill(0);
  const batch = batchOf(ones, zeros), candidates = anchorCandidates(batch, { block: 2, first: 1 });
  const drawn = drawAnchors(50)(candidates, batch);
  assert.equal(new Set(drawn).size, 50);
  assert.deepEqual([...drawn].sort((a, b) => a - b), [...drawn]);
  assert.deepEqual(drawAnchors(50)(candidates, batch), drawn);
  assert.notDeepEqual(drawAnchors(50, 1)(candidates, batch), drawn);
  assert.notDeepEqual(drawAnchors(50)(candidates, batchOf(ones, zeros, 0.25)), drawn);
  assert.deepEqual(drawAnchors(199)(candidates, batch), candidates);
});

Deno.test("every candidate is drawn about as often", () => {
  const rows = 40, counts = new Int32Array(rows), draws = 2000;
  const ones = new Array<number>(rows).fill(1), zeros = new Array<number>(rows).fill(0);
  for (let seed = 0; seed < draws; seed++) {
    const batch = batchOf(ones, zeros), candidates = Int32Array.from(ones, (_, i) => i);
    for (const row of drawAnchors(10, seed)(candidates, batch)) counts[row]!++;
  }
  // A quarter of the draws, with a deviation of √(2000 · ¼ · ¾) = 19.4.
  for (const [row, count] of counts.entries()) assert.ok(Math.abs(count - 500) < 100, `${row}: ${count}`);
});

Deno.test("blocks see their text up to the anchor's row, within a window, and themselves", () => {
  const batch = batchOf([1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1]);
  const at = { anchors: Int32Array.of(1, 5), block: 2 };
  const full = blockRanges(batch, at, { window: null, causal: false });
  assert.deepEqual([...full.context], [0, 2, 0, 2, 3, 6, 3, 6]);
  assert.deepEqual([...full.own], [0, 2, 0, 2, 2, 4, 2, 4]);
  const narrow = blockRanges(batch, at, { window: 2, causal: true });
  assert.deepEqual([...narrow.context], [0, 2, 0, 2, 4, 6, 4, 6]);
  assert.deepEqual([...narrow.own], [0, 1, 0, 2, 2, 3, 2, 4]);
});
