import assert from "node:assert/strict";
import { numpyPermutation } from "../data/random.ts";
import { checkSpace, describeCost, describeTime, estimateCost } from "./_data_cost.ts";
import type { Records } from "./_data_records.ts";

/** Whether the record at a place can be used: two of three, in a shuffled order as datagen has it. */
const SHUFFLED = numpyPermutation(90_000, 0), usable = (place: number) => SHUFFLED[place]! % 3 !== 0;

/** Records of which some cannot be used, the others of the lengths given, again and again. */
function recordsOf(count: number, lengths: readonly number[]): Records {
  const order = { length: count, first: 0, source: () => 0, record: (place: number) => place };
  return {
    order,
    shares: null,
    rule: { kind: "own" },
    inOrder: () => assert.fail("an estimate looks at some places alone"),
    read(place) {
      const ids = new Int32Array(lengths[SHUFFLED[place]! % lengths.length]!),
        lossMask = new Uint8Array(ids.length);
      const found = !usable(place)
        ? { rejected: "not JSON" }
        : { ids, lossMask, counted: { ids, lossMask }, text: "", offsets: new Int32Array() };
      return Promise.resolve({ path: "a.jsonl", line: place + 1, found });
    },
    [Symbol.dispose]() {},
  };
}

const SAMPLES = Array.from({ length: 30 }, (_, i) => i).filter(usable).length,
  BYTES = SAMPLES * (10 * 100 + 4096);

Deno.test("a few records are counted, many are estimated from some of them", async () => {
  const few = await estimateCost(recordsOf(30, [10]), { perToken: 100, there: 0 });
  assert.deepEqual(few, {
    records: 30,
    samples: SAMPLES,
    tokens: 10 * SAMPLES,
    bytes: BYTES,
    exact: true,
    left: 10 * SAMPLES,
    trial: [],
  });
  assert.match(
    describeCost(few, null),
    new RegExp(`^${SAMPLES} samples of 30 records, ${10 * SAMPLES} tokens, \\d+(\\.\\d)? KiB to write$`),
  );
  const many = await estimateCost(recordsOf(90_000, [8, 10, 12, 10, 10]), { perToken: 100, there: 0 });
  assert.ok(
    Math.abs(many.samples - 60_000) < 9000 && Math.abs(many.tokens - 600_000) < 90_000,
    JSON.stringify(many),
  );
  assert.match(describeCost(many, 2 ** 40), /^About \d\d \d{3} samples .* MiB to write with 1\.00 TiB free$/);
});

Deno.test("some samples are given to be tried out where the run is long enough for that", async () => {
  const { left, trial } = await estimateCost(recordsOf(60, [100]), { perToken: 1, there: 0 });
  assert.ok(left < 5120);
  assert.deepEqual(trial, []);
  const long = await estimateCost(recordsOf(900, [100]), { perToken: 1, there: 0 });
  assert.deepEqual(long.trial.map(({ length }) => length), [100, 100, 56]);
  const nearlyThere = { perToken: 1, there: long.samples - 10 };
  assert.deepEqual((await estimateCost(recordsOf(900, [100]), nearlyThere)).trial, []);
});

Deno.test("what is there already is not written again", async () => {
  const half = await estimateCost(recordsOf(30, [10]), { perToken: 100, there: 10 });
  assert.equal(half.bytes, Math.round(BYTES * (1 - 10 / SAMPLES)));
  const none = await estimateCost(recordsOf(30, [10]), { perToken: 100, there: 40 });
  assert.equal(none.bytes, 0);
  assert.equal((await estimateCost(recordsOf(0, [1]), { perToken: 1, there: 0 })).samples, 0);
});

Deno.test("a run that will not fit on the disk is refused, unless nobody knows", async () => {
  const cost = await estimateCost(recordsOf(30, [10]), { perToken: 100, there: 0 });
  checkSpace(cost, cost.bytes, "out");
  checkSpace(cost, null, "out");
  assert.throws(() => checkSpace(cost, cost.bytes - 1, "out"), {
    code: "E_CONFIG",
    message: /"out": expected room for about .* of samples, received .* of free space/,
    hint: /--yes begins all the same/,
  });
});

Deno.test("times are told in the unit that a person plans with", () => {
  assert.equal(describeTime(10_123, 1234.5), "That takes about 9 s, at 1 235 tokens a second");
  assert.match(describeTime(6_000, 10), /10 min/);
  assert.match(describeTime(360_000, 10), /10\.0 h/);
  assert.match(describeTime(4_000_000, 10), /4\.6 days/);
});
