import assert from "node:assert/strict";
import { checkConfig } from "../../../core/config/check.ts";
import { ConfigError } from "../../../core/errors.ts";
import type { DraftOptions, VerifierInfo } from "../../../core/plugin.ts";
import { goldenJson } from "../../../tests/golden.ts";
import { eagle } from "../../eagle/algorithm.ts";
import { hass } from "../../hass/algorithm.ts";
import { type EagleConfig, eagleSchema } from "./config.ts";

const names = Object.keys(goldenJson<{ cases: Record<string, unknown> }>("eagle1", "index.json").cases);

const verifier: VerifierInfo = {
  nameOrPath: "../verifier",
  architectures: ["LlamaForCausalLM"],
  modelType: "llama",
  hiddenSize: 32,
  layers: 4,
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  intermediateSize: 64,
  vocabSize: 128,
  maxPositions: 256,
  rmsNormEps: 1e-4,
  ropeTheta: 10000,
  ropeScaling: null,
  eosTokenIds: [2],
  raw: { initializer_range: 0.02 },
};

async function refused(value: unknown, message: RegExp): Promise<void> {
  await assert.rejects(checkConfig(eagleSchema, value, { where: "config.json" }), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("a config in the eagle format that the Python system wrote passes unchanged", async () => {
  for (const name of names) {
    const value = { ...goldenJson<EagleConfig>("eagle1", name, "config.json"), "a field of tomorrow": [1] };
    assert.deepEqual(await checkConfig(eagleSchema, value, { where: name }), value);
  }
});

Deno.test("a config in the eagle format with a field that cannot be is refused by its name", async () => {
  const good = goldenJson<EagleConfig>("eagle1", names[0]!, "config.json");
  const layer = good.transformer_layer_config;
  await refused({ ...good, speculators_model_type: "eagle3" }, /speculators_model_type.*"eagle"/);
  await refused({ ...good, layernorms: "yes" }, /layernorms.*boolean.*"yes"/);
  await refused(
    { ...good, transformer_layer_architecture: "Qwen3DecoderLayer" },
    /transformer_layer_architecture.*"LlamaDecoderLayer"/,
  );
  await refused(
    { ...good, transformer_layer_config: { ...layer, num_key_value_heads: 3 } },
    /num_attention_heads.*multiple of 3/,
  );
  await refused({ ...good, transformer_layer_config: { ...layer, head_dim: 5 } }, /head_dim.*even/);
});

Deno.test("a new draft's config has what the Python system writes for this verifier", () => {
  const made = eagle.configure(verifier, {}), hassMade = hass.configure(verifier, {});
  const written = goldenJson<EagleConfig>("eagle1", names[0]!, "config.json");
  const { transformer_layer_config: own, ...rest } = made;
  const { transformer_layer_config: wanted } = written;
  for (const [field, value] of Object.entries(own)) assert.deepEqual(value, wanted[field], field);
  assert.equal(rest.transformer_layer_architecture, written.transformer_layer_architecture);
  assert.deepEqual(rest["speculators_config"], written["speculators_config"]);
  for (const config of [made, hassMade]) assert.equal(config.speculators_model_type, "eagle");
  assert.deepEqual([made.layernorms, made.fusion_bias], [false, false]);
  assert.deepEqual([hassMade.layernorms, hassMade.fusion_bias], [false, true]);
});

Deno.test("a new draft has norms and a bias where they are asked for, and turns positions as its verifier", () => {
  const scaled = { ...verifier, ropeTheta: 5e5, ropeScaling: { rope_type: "linear", factor: 2 } };
  const config = eagle.configure(scaled, {
    draftArch: "qwen3",
    extra: { layernorms: true, fusion_bias: true },
  });
  assert.deepEqual([config.layernorms, config.fusion_bias], [true, true]);
  assert.equal(config.transformer_layer_architecture, "Qwen3DecoderLayer");
  const { rope_theta, rope_scaling } = config.transformer_layer_config;
  assert.deepEqual([rope_theta, rope_scaling], [5e5, scaled.ropeScaling]);
  assert.deepEqual(eagle.needs(config, scaled), { layers: [4], last: true });
});

Deno.test("options that only drafts of other formats can have are refused, and verifiers that do not fit", () => {
  const given = (options: DraftOptions) => () => eagle.configure(verifier, options);
  const refusal = (message: RegExp) => (error: unknown) =>
    error instanceof ConfigError && message.test(error.message);
  assert.throws(given({ numLayers: 2 }), refusal(/"num-layers".*expected 1 .*received 2/));
  assert.throws(given({ draftVocabSize: 64 }), refusal(/"draft-vocab-size".*128 tokens.*received 64/));
  assert.throws(given({ layerIds: [2, 4] }), refusal(/"layer-ids".*last layer, 4,.*received 2, 4/));
  assert.throws(given({ embedRequiresGrad: true }), refusal(/"embed-requires-grad"/));
  assert.throws(given({ draftArch: "gpt2" }), refusal(/"draft-arch".*llama, qwen3.*"gpt2"/));
  assert.throws(given({ extra: { layernorms: 1 } }), refusal(/"layernorms".*true or false, received 1/));
  const config = eagle.configure(verifier, { layerIds: [4], draftVocabSize: 128, numLayers: 1 });
  assert.throws(
    () => eagle.needs(config, { ...verifier, hiddenSize: 64 }),
    refusal(/width 32 with 128 tokens, received width 64/),
  );
});
