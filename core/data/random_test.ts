import assert from "node:assert/strict";
import { numpyPermutation, PythonRandom } from "./random.ts";
import { goldenJson } from "../../tests/golden.ts";

Deno.test("a permutation is numpy's for every golden seed and length", () => {
  const cases = goldenJson<{ seed: number; n: number; permutation: number[] }[]>(
    "batches",
    "permutations.json",
  );
  assert.ok(cases.length > 0);
  for (const { seed, n, permutation } of cases) {
    assert.deepEqual([...numpyPermutation(n, seed)], permutation, `seed ${seed}, n ${n}`);
  }
});

Deno.test("a shuffle is Python's for every golden split", () => {
  const cases = goldenJson<{ seed: number; count: number; permutation: number[] }[]>(
    "batches",
    "splits.json",
  );
  assert.ok(cases.length > 0);
  for (const { seed, count, permutation } of cases) {
    const items = Array.from({ length: count }, (_, i) => i);
    new PythonRandom(seed).shuffle(items);
    assert.deepEqual(items, permutation, `seed ${seed}, count ${count}`);
  }
});

Deno.test("Python's floats and integers come as CPython draws them", () => {
  const random = new PythonRandom(0);
  assert.equal(random.float(), 0.8444218515250481);
  assert.equal(random.float(), 0.7579544029403025);
  assert.equal(new PythonRandom(12345).integer(1, 100), 54);
});

Deno.test("seeds of more than 32 bits, and negative ones for Python, are taken", () => {
  assert.equal(numpyPermutation(5, 2n ** 200n).length, 5);
  assert.equal(new PythonRandom(-7).float(), new PythonRandom(7).float());
});

Deno.test("a negative or fractional seed for numpy is refused", () => {
  assert.throws(() => numpyPermutation(3, -1), { code: "E_CONFIG" });
  assert.throws(() => numpyPermutation(3, 0.5), { code: "E_CONFIG" });
});
