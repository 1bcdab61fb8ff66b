import assert from "node:assert/strict";
import type { PackedBatch } from "../../core/data/batch.ts";
import { ConfigError } from "../../core/errors.ts";
import type { VerifierInfo } from "../../core/plugin.ts";
import { mtpSchema, mtpSizes } from "./config.ts";
import { configureMtp, mtpNeeds } from "./configure.ts";
import { mtpObjective, stepsOf, stepWeights, targetRows } from "./objective.ts";

const VERIFIER: VerifierInfo = {
  nameOrPath: "verifier",
  architectures: ["LlamaForCausalLM"],
  modelType: "llama",
  hiddenSize: 64,
  layers: 8,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  intermediateSize: 128,
  vocabSize: 100,
  maxPositions: 256,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  ropeScaling: null,
  eosTokenIds: [2],
  raw: {},
};
const OPTIONS = { tttSteps: 3, tttStepLossDecay: 1, useOffPolicyTokens: false };

Deno.test("the weights of the steps fall by beta and sum to 1", () => {
  const found = stepWeights(0.6, 3);
  assert.deepEqual(found.map((x) => x.toFixed(4)), ["0.5102", "0.3061", "0.1837"]);
  assert.ok(Math.abs(found.reduce((a, b) => a + b, 0) - 1) < 1e-12);
  assert.deepEqual(stepWeights(1, 4), [0.25, 0.25, 0.25, 0.25]);
});

Deno.test("a row has a target where the token behind it is trained on and of its own text", () => {
  const batch = {
    lossMask: Uint8Array.of(1, 1, 0, 1, 1, 1, 0),
    documents: Int32Array.of(0, 0, 0, 0, 1, 1, -1),
  } as unknown as PackedBatch;
  assert.deepEqual(targetRows(batch, 0), [0, 2, 4]);
  assert.deepEqual(targetRows(batch, 1), [1]);
  assert.deepEqual(targetRows(batch, 2), [0]);
});

Deno.test("a new draft reads the last state and takes as many steps as it is to propose", () => {
  const config = configureMtp(VERIFIER, {});
  assert.deepEqual(mtpNeeds(config, VERIFIER), { layers: [8], last: true });
  assert.equal(stepsOf(config), 3);
  assert.equal(stepsOf(configureMtp(VERIFIER, { extra: { num_speculative_steps: 5 } })), 5);
  assert.equal(config.norm_hidden_states, true);
});

Deno.test("options that this kind of draft cannot have are refused by name", () => {
  const refused = [
    ["num-layers", { numLayers: 2 }],
    ["draft-arch", { draftArch: "llama" }],
    ["draft-vocab-size", { draftVocabSize: 50 }],
    ["layer-ids", { layerIds: [2] }],
    ["num_speculative_steps", { extra: { num_speculative_steps: 0 } }],
    ["steps", { extra: { steps: 2 } }],
  ] as const;
  for (const [name, options] of refused) {
    assert.throws(
      () => configureMtp(VERIFIER, options),
      (error) => error instanceof ConfigError && error.message.includes(name),
      name,
    );
  }
  assert.throws(
    () => mtpObjective(configureMtp(VERIFIER, {}), { ...OPTIONS, extra: { step_weight_beta: 0 } }),
    (error) => error instanceof ConfigError && error.message.includes("step_weight_beta"),
  );
});

Deno.test("layers of another kind may be kept, but not computed", async () => {
  const config = configureMtp(VERIFIER, {}), layer = config.transformer_layer_config;
  const next = { ...config, transformer_layer_config: { ...layer, model_type: "qwen3_next" as const } };
  assert.equal((await mtpSchema["~standard"].validate(next)).issues, undefined);
  assert.throws(
    () => mtpSizes(next),
    (error) => error instanceof ConfigError && /expected qwen3, received "qwen3_next"/.test(error.message),
  );
  const odd = { ...config, transformer_layer_config: { ...layer, head_dim: 7 } };
  const { issues } = await mtpSchema["~standard"].validate(odd);
  assert.deepEqual(issues?.map(({ path }) => path?.join(".")), ["transformer_layer_config.head_dim"]);
});
