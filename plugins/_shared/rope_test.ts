import assert from "node:assert/strict";
import { ConfigError } from "../../core/errors.ts";
import { ropeFrequencies } from "./rope.ts";

const PLAIN = { headDim: 8, theta: 10000, scaling: null };

function scaled(scaling: Record<string, unknown>): number[] {
  return [...ropeFrequencies({ ...PLAIN, scaling }).inverse];
}

Deno.test("frequencies fall by powers of theta", () => {
  const { inverse, factor } = ropeFrequencies(PLAIN);
  assert.deepEqual([...inverse], [1, 0.1, 0.01, 0.001].map(Math.fround));
  assert.equal(factor, 1);
});

Deno.test("linear scaling divides every frequency, under either spelling of its kind", () => {
  const expected = [1, 0.1, 0.01, 0.001].map((f) => Math.fround(f / 4));
  assert.deepEqual(scaled({ rope_type: "linear", factor: 4 }), expected);
  assert.deepEqual(scaled({ type: "linear", factor: 4 }), expected);
});

Deno.test("llama3 scaling keeps short wavelengths, stretches long ones and blends between", () => {
  const got = scaled({
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 128,
  });
  const share = (128 * 0.1 / (2 * Math.PI) - 1) / 3;
  const blended = Math.fround((1 - share) * 0.1 / 8 + share * 0.1);
  assert.deepEqual(got, [1, blended, Math.fround(0.01 / 8), Math.fround(0.001 / 8)]);
});

Deno.test("yarn's attention factor follows its fields", () => {
  const factor = (more: Record<string, unknown>) =>
    ropeFrequencies({
      headDim: 64,
      theta: 150000,
      scaling: { rope_type: "yarn", factor: 32, original_max_position_embeddings: 4096, ...more },
    }).factor;
  assert.ok(Math.abs(factor({}) - 1.34657) < 1e-5);
  assert.equal(factor({ attention_factor: 1.5 }), 1.5);
  assert.equal(factor({ mscale: 2, mscale_all_dim: 2 }), 1);
});

Deno.test("scaling that is unknown or lacks a field is refused with the field's name", () => {
  assert.throws(
    () => scaled({ rope_type: "longrope" }),
    (e) =>
      e instanceof ConfigError && /rope_type.*default, mrope, linear, llama3, yarn.*longrope/.test(e.message),
  );
  assert.throws(
    () => scaled({ rope_type: "linear" }),
    (e) => e instanceof ConfigError && /rope_scaling\.factor/.test(e.message),
  );
});
