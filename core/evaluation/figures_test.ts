import assert from "node:assert/strict";
import { addCounts, ratesOf, Tally } from "./figures.ts";

/** Two texts: rounds of three proposals that accept 3, 1 and 0, 2. */
function worked(): Tally {
  const tally = new Tally();
  tally.prompt(10);
  tally.prompt(6);
  for (const accepted of [3, 1, 0, 2]) tally.acceptance.add(3, accepted);
  tally.text("plain", { tokens: 11, firstMs: 20, totalMs: 120 });
  tally.text("plain", { tokens: 1, firstMs: 30, totalMs: 30 });
  tally.text("speculative", { tokens: 11, firstMs: 25, totalMs: 75 });
  tally.text("speculative", { tokens: 1, firstMs: 35, totalMs: 35 });
  return tally;
}

Deno.test("figures of two texts are those worked by hand", () => {
  const figures = worked().figures();
  assert.deepEqual([figures.rounds, figures.drafted, figures.accepted], [4, 12, 6]);
  assert.deepEqual(figures.accepted_per_position, [3, 2, 1]);
  assert.deepEqual(figures.acceptance_per_position, [3 / 4, 2 / 4, 1 / 4]);
  assert.deepEqual(figures.conditional_acceptance, [3 / 4, 2 / 3, 1 / 2]);
  assert.equal(figures.mean_accepted_length, 1 + 6 / 4);
  assert.deepEqual([figures.prompts, figures.prompt_tokens, figures.output_tokens], [2, 16, 12]);
  // Ten tokens after the first in 100 ms, and in 50 ms; the text of one token has none after it.
  assert.deepEqual(figures.tokens_per_second, { plain: 100, speculative: 200 });
  assert.equal(figures.speed_up, 2);
  assert.deepEqual(figures.time_per_token_ms.plain, { mean: 10, p50: 10, p90: 10, p95: 10, p99: 10 });
  assert.equal(figures.time_per_token_ms.speculative?.p50, 5);
  assert.deepEqual(figures.time_to_first_token_ms.plain, { mean: 25, p50: 20, p90: 30, p95: 30, p99: 30 });
  assert.equal(figures.latency_ms.speculative?.mean, 55);
});

Deno.test("figures of all data sets are those of all their texts and rounds, not means of means", () => {
  const other = new Tally();
  other.acceptance.add(4, 4);
  other.text("plain", { tokens: 6, firstMs: 10, totalMs: 60 });
  const all = new Tally();
  all.add(worked());
  all.add(other);
  const figures = all.figures();
  assert.deepEqual([figures.rounds, figures.drafted, figures.accepted], [5, 16, 10]);
  assert.deepEqual(figures.acceptance_per_position, [4 / 5, 3 / 5, 2 / 5, 1 / 5]);
  assert.deepEqual(figures.conditional_acceptance, [4 / 5, 3 / 4, 2 / 3, 1 / 2]);
  assert.equal(figures.tokens_per_second.plain, 1000 * 15 / 150);
});

Deno.test("speed of texts that are written at once is that of all together", () => {
  const tally = worked();
  tally.wall("plain", 60);
  assert.equal(tally.figures().tokens_per_second.plain, 1000 * 12 / 60);
});

Deno.test("what was not measured is null, and no round gives zeros", () => {
  const figures = new Tally().figures();
  assert.deepEqual(figures.tokens_per_second, { plain: null, speculative: null });
  assert.deepEqual(figures.latency_ms, { plain: null, speculative: null });
  assert.deepEqual([figures.speed_up, figures.mean_accepted_length, figures.prompts], [null, 0, 0]);
  assert.deepEqual(figures.acceptance_per_position, []);
});

Deno.test("counts of a server are subtracted position by position", () => {
  const before = { rounds: 10, drafted: 20, accepted: 8, perPosition: [5, 3] };
  const after = { rounds: 14, drafted: 32, accepted: 14, perPosition: [8, 5, 1] };
  const counts = addCounts(after, before, -1);
  assert.deepEqual(counts, { rounds: 4, drafted: 12, accepted: 6, perPosition: [3, 2, 1] });
  assert.deepEqual(ratesOf(counts).acceptance_per_position, [3 / 4, 2 / 4, 1 / 4]);
});
