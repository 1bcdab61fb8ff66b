import assert from "node:assert/strict";
import { Acceptance } from "./acceptance.ts";

Deno.test("rates of three rounds are those worked by hand", () => {
  const counts = new Acceptance();
  counts.add(3, 3);
  counts.add(3, 1);
  counts.add(3, 0);
  assert.deepEqual(counts.rates(), {
    rounds: 3,
    drafted: 9,
    accepted: 4,
    acceptance_per_position: [2 / 3, 1 / 3, 1 / 3],
    conditional_acceptance: [2 / 3, 1 / 2, 1],
    mean_accepted_length: 1 + 4 / 3,
  });
});

Deno.test("no round gives zeros, not NaN", () => {
  assert.deepEqual(new Acceptance().rates(), {
    rounds: 0,
    drafted: 0,
    accepted: 0,
    acceptance_per_position: [],
    conditional_acceptance: [],
    mean_accepted_length: 0,
  });
});
