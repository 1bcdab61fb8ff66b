import assert from "node:assert/strict";
import type { VerifierInfo } from "./plugin.ts";
import type { OpenedVerifier } from "./verifier.ts";
import { fit, modelNeeds } from "./fit.ts";

const info = {
  maxPositions: 100,
  headDim: 8,
  layers: 2,
  kvHeads: 2,
  heads: 4,
  hiddenSize: 32,
  intermediateSize: 64,
  vocabSize: 50,
} as VerifierInfo;
const opened = { info, size: () => ({ weights: 10_000, largest: 4_000 }) } as OpenedVerifier;

Deno.test("a model takes its weights, its tables, and keys and values of no more tokens than it can read", () => {
  const needs = modelNeeds(opened, 1000);
  assert.equal(needs.tokens, 100);
  assert.equal(needs.tables, 4 * 100 * 8);
  assert.equal(needs.cache, 2 * 4 * 2 * 2 * 8 * 100);
  assert.equal(needs.total, needs.weights + needs.tables + needs.cache + needs.work);
  assert.equal(2 * modelNeeds(opened, 50).cache, needs.cache);
});

Deno.test("a model fits where the device holds all of it and each tensor by itself", () => {
  const needs = { largest: 10, total: 100 };
  assert.deepEqual(fit(needs, { total: 100, largest: 10 }), { fits: true, lacks: null });
  assert.deepEqual(fit(needs, { total: 99, largest: 10 }), { fits: false, lacks: "total" });
  assert.deepEqual(fit(needs, { total: null, largest: 9 }), { fits: false, lacks: "largest" });
  assert.deepEqual(fit(needs, { total: null, largest: 10 }), { fits: null, lacks: null });
});
