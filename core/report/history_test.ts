import assert from "node:assert/strict";
import { readHistory, RunHistory } from "./history.ts";

function train(
  history: RunHistory,
  steps: readonly number[],
  value: (step: number) => number = (step) => step,
): void {
  for (const step of steps) history.take({ split: "train", step, epoch: 0, values: { loss_0: value(step) } });
}

const upTo = (end: number, from = 0): number[] => Array.from({ length: end - from }, (_, i) => from + i);

Deno.test("a short history keeps every number, and gaps where one is not finite", () => {
  const history = new RunHistory();
  train(history, upTo(4), (step) => step === 2 ? NaN : step / 2);
  const { x, y, total } = history.series("train/loss_0")!;
  assert.deepEqual([x, y, total], [[0, 1, 2, 3], [0, 0.5, null, 1.5], 2]);
  assert.equal(history.last("train/loss_0"), 1.5);
  assert.equal(history.series("train/none"), null);
});

Deno.test("a long history keeps the means of neighbours, its newest numbers too", () => {
  const history = new RunHistory(), steps = 100_003;
  train(history, upTo(steps));
  const { x, y, stride, total } = history.series("train/loss_0")!;
  assert.ok(x.length >= 500 && x.length <= 1001, `${x.length} points`);
  assert.equal(total, steps * (steps - 1) / 2);
  // A mean over `stride` steps from x on: x + (stride - 1) / 2, the last one over those there are.
  for (const i of upTo(x.length - 1)) assert.equal(y[i], x[i]! + (stride - 1) / 2);
  assert.equal(y.at(-1), (x.at(-1)! + steps - 1) / 2);
});

Deno.test("a step that is done again takes the place of what came after it", () => {
  const history = new RunHistory();
  train(history, upTo(10));
  history.take({ split: "val", step: 5, epoch: 0, values: { loss_0: 50 } });
  history.take({ split: "val", step: 10, epoch: 1, values: { loss_0: 100 } });
  const again = new RunHistory(readHistory(JSON.parse(JSON.stringify(history))));
  train(again, upTo(8, 5), (step) => -step);
  assert.deepEqual(again.series("train/loss_0")!.y, [0, 1, 2, 3, 4, -5, -6, -7]);
  // The validation after step 4 says 5: it was before that step.
  assert.deepEqual(again.series("val/loss_0")!.x, [5]);
  assert.deepEqual(again.epochs.map(({ epoch }) => epoch), [0]);
});

Deno.test("what is no history is none", () => {
  const sound = { version: 1, series: { a: { x: [1], y: [null], stride: 1, total: 0 } }, epochs: [] };
  assert.deepEqual(readHistory(sound), sound);
  const bad = { x: [1], y: [1], stride: 1, total: 0 };
  const wrong = [
    ...[null, 3, [], {}, { ...sound, version: 2 }, { ...sound, epochs: [{}] }, { ...sound, epochs: {} }],
    ...[{ x: [1, 2] }, { y: ["<b>"] }, { stride: 0 }, { total: null }, { x: ["1"] }].map((change) => ({
      ...sound,
      series: { a: { ...bad, ...change } },
    })),
    { ...sound, series: { a: { ...bad, x: upTo(5_000), y: upTo(5_000) } } },
    { ...sound, epochs: [{ epoch: 0, step: 1, values: { a: "1" } }] },
  ];
  for (const value of wrong) assert.equal(readHistory(value), null, JSON.stringify(value)?.slice(0, 200));
});
