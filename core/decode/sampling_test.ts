import assert from "node:assert/strict";
import { draw, probabilities } from "./sampling.ts";

/** A small generator (Vigna's splitmix, 32 bits), so that the tests draw the same numbers each time. */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x9e3779b9) | 0;
    let z = seed ^ (seed >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** Pearson's statistic of counts against expected probabilities. */
function chiSquared(counts: readonly number[], p: Float64Array): number {
  const n = counts.reduce((a, b) => a + b, 0);
  return counts.reduce((all, c, i) => p[i]! === 0 ? all : all + (c - n * p[i]!) ** 2 / (n * p[i]!), 0);
}

const logits = new Float32Array([1, 0.5, -1, 2, 0]);

Deno.test("probabilities at temperature 1 are the softmax", () => {
  const p = probabilities(logits, { temperature: 1 });
  const sum = logits.reduce((all, x) => all + Math.exp(x), 0);
  logits.forEach((x, i) => assert.ok(Math.abs(p[i]! - Math.exp(x) / sum) < 1e-12));
});

Deno.test("top-k and top-p keep the most likely tokens and renormalise", () => {
  const k = probabilities(logits, { temperature: 1, topK: 2 });
  assert.deepEqual(Array.from(k, (x) => x > 0), [true, false, false, true, false]);
  assert.ok(Math.abs(k[0]! / k[3]! - Math.exp(-1)) < 1e-6);
  const p = probabilities(logits, { temperature: 1, topP: 0.6 });
  assert.deepEqual(Array.from(p, (x) => x > 0), [true, false, false, true, false]);
  assert.ok(Math.abs(p.reduce((a, b) => a + b) - 1) < 1e-12);
  assert.deepEqual(Array.from(probabilities(logits, { temperature: 1, topP: 1e-9 })), [0, 0, 0, 1, 0]);
});

Deno.test("draw follows its weights", () => {
  const p = probabilities(logits, { temperature: 1 }), counts = [0, 0, 0, 0, 0], uniform = seeded(1);
  for (let i = 0; i < 20_000; i++) counts[draw(p, uniform)]!++;
  assert.ok(chiSquared(counts, p) < 18.47, `${counts}`); // 4 degrees of freedom, p = 0.001
});
