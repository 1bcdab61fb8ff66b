/** Windows of rows. */
import assert from "node:assert/strict";
import { windowsOf } from "./windows.ts";

Deno.test("windows are squares, cut at the edges, each frame by itself", () => {
  const { order, lengths } = windowsOf([2, 6, 6], { merge: 2, window: 2 });
  assert.deepEqual(Array.from(order.subarray(0, 9)), [0, 1, 3, 4, 2, 5, 6, 7, 8]);
  assert.deepEqual(Array.from(order.subarray(9)), [9, 10, 12, 13, 11, 14, 15, 16, 17]);
  assert.deepEqual(lengths, [4, 2, 2, 1, 4, 2, 2, 1]);
});

Deno.test("an image that fits one window keeps its order", () => {
  const { order, lengths } = windowsOf([1, 4, 6], { merge: 2, window: 8 });
  assert.deepEqual(Array.from(order), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(lengths, [6]);
});
