import assert from "node:assert/strict";
import { fc } from "../../../core/formats/_fast_check.ts";
import { tokenBatches } from "./batches.ts";

Deno.test("batches hold every sample once and keep to the budget", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 50 })),
      fc.integer({ min: 1, max: 60 }),
      (lengths, budget) => {
        const batches = tokenBatches(lengths, budget);
        assert.deepEqual(batches.flat().sort((a, b) => a - b), lengths.map((_, i) => i));
        for (const batch of batches) {
          const sum = batch.reduce((all, i) => all + lengths[i]!, 0);
          assert.ok(batch.length > 0 && (sum <= budget || batch.length === 1));
        }
      },
    ),
  );
});

Deno.test("samples of like length are worked together", () => {
  assert.deepEqual(tokenBatches([3, 9, 4, 10], 14), [[3], [1, 2], [0]]);
});
