import assert from "node:assert/strict";
import { draftingRows, unrollRanges } from "./unroll.ts";
import { masked, unrolledMetrics } from "./unroll_metrics.ts";

Deno.test("a row is right at a step only if it was at all before, and counts where its target does", () => {
  const lossMask = Uint8Array.of(1, 1, 0, 1, 1), rows = Int32Array.of(0, 1, 2, 3, 4);
  const outputs = {
    loss: Float32Array.of(3),
    loss_0: Float32Array.of(2),
    loss_1: Float32Array.of(1),
    target_0: Int32Array.of(5, 6, 7, 8, 9),
    draft_0: Int32Array.of(5, 0, 7, 8, 9), // row 1 is wrong, row 2 is not asked for
    target_1: Int32Array.of(6, 7, 8, 9, 0),
    draft_1: Int32Array.of(6, 7, 8, 0, 0), // row 0 right, row 1 too late, row 3 wrong, row 4 without a target
  };
  const got = unrolledMetrics({ lossMask, rows, steps: 2 }, outputs);
  const near = (name: string, want: number) =>
    assert.ok(Math.abs(got[name]! - want) < 1e-5, `${name}: ${got[name]} is not ${want}`);
  near("full_acc_0", 3 / 4);
  near("cond_acc_0", 3 / 4);
  near("full_acc_1", 1 / 3); // targets at rows 1, 3, 4
  near("cond_acc_1", 1 / 2); // rows 0 and 3 were right before
  assert.deepEqual([got["loss"], got["loss_0"], got["loss_1"]], [3, 2, 1]);
});

Deno.test("nothing to be right about gives zeros, not NaN", () => {
  const none = { loss: Float32Array.of(0), loss_0: Float32Array.of(0) };
  const outputs = { ...none, target_0: new Int32Array(0), draft_0: new Int32Array(0) };
  const got = unrolledMetrics({ lossMask: new Uint8Array(4), rows: new Int32Array(0), steps: 1 }, outputs);
  assert.deepEqual(got, { loss: 0, loss_0: 0, full_acc_0: 0, cond_acc_0: 0 });
});

Deno.test("the rows that draft are those with a target at some step", () => {
  const lossMask = Uint8Array.of(0, 0, 0, 1, 1, 0, 0, 0, 1);
  assert.deepEqual([...draftingRows(lossMask, 1)], [3, 4, 8]);
  assert.deepEqual([...draftingRows(lossMask, 3)], [1, 2, 3, 4, 6, 7, 8]);
  assert.deepEqual([...draftingRows(new Uint8Array(5), 3)], []);
  assert.equal(masked(lossMask, 0), 3);
  assert.equal(masked(lossMask, 4), 2);
});

Deno.test("a row sees its document up to itself, and padding itself", () => {
  const documents = Int32Array.of(0, 0, 0, 1, 1, -1, -1);
  assert.deepEqual([...unrollRanges(documents)], [0, 1, 0, 2, 0, 3, 3, 4, 3, 5, 5, 6, 6, 7]);
  assert.deepEqual([...unrollRanges(documents, Int32Array.of(2, 4, 6))], [0, 3, 3, 5, 6, 7]);
});
