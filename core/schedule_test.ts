import assert from "node:assert/strict";
import { golden, goldenJson } from "../tests/golden.ts";
import { ConfigError } from "./errors.ts";
import { schedule, SCHEDULES } from "./schedule.ts";

interface Steps {
  lr: number;
  warmup: number;
  total: number;
  cosine_cycles: number;
  runs: Record<string, { lr: number }[]>;
}

function goldenSteps(): Steps[] {
  const { cases } = goldenJson<{ cases: Record<string, { dtype: string }> }>("eagle3", "index.json");
  return Object.keys(cases).flatMap((name) => {
    const path = golden("eagle3", name, "steps.json");
    return existsSync(path) ? [JSON.parse(Deno.readTextFileSync(path)) as Steps] : [];
  });
}

function existsSync(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

Deno.test("Schedules give the learning rates of the reference's training steps", () => {
  const files = goldenSteps();
  assert.ok(files.length > 0);
  for (const { lr, warmup, total, cosine_cycles, runs } of files) {
    for (const [name, steps] of Object.entries(runs)) {
      const factor = schedule(name, { warmupSteps: warmup, totalSteps: total, cycles: cosine_cycles });
      const got = steps.map((_, i) => lr * factor(i));
      assert.deepEqual(got.map((x) => x.toFixed(12)), steps.map((x) => x.lr.toFixed(12)), name);
    }
  }
});

Deno.test("Linear and cosine rise from 0 and end at 0, constant stays, none ignores the warm-up", () => {
  const at = (name: string, steps: number[]) =>
    steps.map(schedule(name, { warmupSteps: 4, totalSteps: 12 })).map((x) => Number(x.toFixed(9)));
  assert.deepEqual(at("linear", [0, 1, 4, 8, 12, 20]), [0, 0.25, 1, 0.5, 0, 0]);
  assert.deepEqual(at("cosine", [0, 2, 4, 6, 8, 12]), [0, 0.5, 1, 0.853553391, 0.5, 0]);
  assert.deepEqual(at("constant", [0, 2, 4, 40]), [0, 0.5, 1, 1]);
  assert.deepEqual(at("none", [0, 2, 40]), [1, 1, 1]);
});

Deno.test("A schedule of no steps is finite", () => {
  for (const name of SCHEDULES) {
    assert.ok(Number.isFinite(schedule(name, { totalSteps: 0 })(0)), name);
  }
});

Deno.test("An unknown schedule names the known ones", () => {
  assert.throws(() => schedule("poly", { totalSteps: 3 }), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /linear, cosine, constant, none, received "poly"/);
    return true;
  });
  assert.throws(() => schedule("linear", { totalSteps: Number.NaN }), ConfigError);
});
