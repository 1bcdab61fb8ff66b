import assert from "node:assert/strict";
import { simulatedAcceptedLength, TrainMeter, withSimulation } from "./_train_metrics.ts";

Deno.test("the simulated accepted length adds up the products of conditional accuracies", () => {
  const found = simulatedAcceptedLength({
    cond_acc_0: 0.5,
    cond_acc_1: 0.4,
    cond_acc_2: 0.25,
    full_acc_0: 1,
  });
  assert.ok(Math.abs(found! - (1 + 0.5 + 0.2 + 0.05)) < 1e-12);
  assert.equal(simulatedAcceptedLength({ cond_acc_0: 0, cond_acc_1: 1 }), 1);
  assert.equal(simulatedAcceptedLength({ loss: 1 }), null);
  assert.deepEqual(withSimulation({ loss: 1 }), { loss: 1 });
});

Deno.test("a meter tells of the steps since it was last asked", () => {
  const backend = { memory: () => ({ live: 3, peak: 7 }) } as never, meter = new TrainMeter(100);
  meter.count(80);
  meter.count(60);
  meter.end("compute");
  const { padding_share, memory_bytes, peak_memory_bytes, tokens_per_second, data_seconds, compute_seconds } =
    meter
      .take(backend);
  assert.ok(Math.abs(padding_share! - 0.3) < 1e-12);
  assert.deepEqual([memory_bytes, peak_memory_bytes, data_seconds], [3, 7, 0]);
  assert.ok(Math.abs(tokens_per_second! * compute_seconds! * 2 - 140) < 1e-6);
  meter.count(100);
  assert.equal(meter.take(backend).padding_share, 0);
});
