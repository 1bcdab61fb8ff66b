import assert from "node:assert/strict";
import { ConfigError } from "../../core/errors.ts";
import type { VerifierInfo } from "../../core/plugin.ts";
import { dflashSchema, dflashSizes } from "./config.ts";
import { configureDFlash, dflashNeeds } from "./configure.ts";
import { dflashServingProblems } from "./serving.ts";

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
  ropeTheta: 500000,
  ropeScaling: null,
  eosTokenIds: [2],
  raw: {},
};

Deno.test("a new draft has the defaults of the Python system and the verifier's sizes", () => {
  const config = configureDFlash(VERIFIER, {});
  assert.equal(config.block_size, 8);
  assert.equal(config.mask_token_id, 2);
  assert.deepEqual(config.aux_hidden_state_layer_ids, [2, 4, 5]);
  assert.deepEqual(dflashNeeds(config, VERIFIER), { layers: [2, 4, 5], last: true });
  assert.equal(config.transformer_layer_config.model_type, "qwen3");
  assert.equal(config.transformer_layer_config.rope_theta, 500000);
  const speculators = config["speculators_config"] as { proposal_methods: { speculative_tokens: number }[] };
  assert.equal(speculators.proposal_methods[0]!.speculative_tokens, 7);
});

Deno.test("a layer with a window sees the rows of its block up to itself, unless asked otherwise", () => {
  const extra = { sliding_window_layers: [1], sliding_window: 9 };
  const sight = (more: Record<string, unknown>) =>
    dflashSizes(configureDFlash(VERIFIER, { numLayers: 2, extra: { ...extra, ...more } })).sight;
  const full = { window: null, causal: false };
  assert.deepEqual(sight({}), [full, { window: 9, causal: true }]);
  assert.deepEqual(sight({ sliding_window_non_causal: true }), [full, { window: 9, causal: false }]);
});

Deno.test("settings that are not known or do not fit are refused by name", () => {
  const refused = [
    ["blocksize", { extra: { blocksize: 4 } }],
    ["block_size", { extra: { block_size: 1 } }],
    ["mask_token_id", { extra: { mask_token_id: 100 } }],
    ["sliding_window_layers", { extra: { sliding_window_layers: [1] } }],
    ["draft-arch", { draftArch: "llama" }],
    ["aux_hidden_state_layer_ids", { layerIds: [9] }],
    ["embed-requires-grad", { embedRequiresGrad: true }],
  ] as const;
  for (const [name, options] of refused) {
    assert.throws(() => configureDFlash(VERIFIER, options), (error) => {
      assert.ok(error instanceof ConfigError, name);
      assert.match(error.message, new RegExp(name));
      return true;
    });
  }
});

Deno.test("the schema says which field is wrong", async () => {
  const config = configureDFlash(VERIFIER, { numLayers: 2 }), layer = config.transformer_layer_config;
  const wrong = [
    ["mask_token_id", { mask_token_id: 100 }],
    ["transformer_layer_config.layer_types", {
      transformer_layer_config: { ...layer, layer_types: ["full_attention"] },
    }],
    ["transformer_layer_config.sliding_window", {
      transformer_layer_config: { ...layer, layer_types: ["sliding_attention", "full_attention"] },
    }],
    ["transformer_layer_config.model_type", { transformer_layer_config: { ...layer, model_type: "llama" } }],
  ] as const;
  for (const [path, change] of wrong) {
    const { issues } = await dflashSchema["~standard"].validate({ ...config, ...change });
    assert.deepEqual(issues?.map((issue) => issue.path?.join(".")), [path]);
  }
});

Deno.test("what vLLM would read otherwise is said", () => {
  const problems = (extra: Record<string, unknown>, names: readonly string[] = []) =>
    dflashServingProblems(
      configureDFlash(VERIFIER, { extra }),
      new Map(names.map((name) => [name, { shape: [1], dtype: "f32" }])),
    );
  assert.deepEqual(problems({}, ["fc.weight", "layers.0.self_attn.q_norm.weight"]), []);
  assert.match(problems({ sample_from_anchor: true })[0]!, /sample_from_anchor/);
  assert.match(problems({ sliding_window_layers: [0] })[0]!, /full attention/);
  assert.match(problems({}, ["markov.weight"])[0]!, /markov\.weight/);
});
