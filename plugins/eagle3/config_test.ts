import assert from "node:assert/strict";
import { checkConfig } from "../../core/config/check.ts";
import { ConfigError } from "../../core/errors.ts";
import { goldenJson } from "../../tests/golden.ts";
import { layerRope } from "../_shared/layer_config.ts";
import { type Eagle3Config, eagle3Schema, eagle3Sizes } from "./config.ts";

const names = Object.keys(goldenJson<{ cases: Record<string, unknown> }>("eagle3", "index.json").cases);

function config(name = names[0]!): Eagle3Config {
  return goldenJson("eagle3", name, "config.json");
}

async function refused(value: unknown, message: RegExp): Promise<void> {
  await assert.rejects(checkConfig(eagle3Schema, value, { where: "config.json" }), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("a config that the Python system wrote passes unchanged", async () => {
  for (const name of names) {
    const value = { ...config(name), "a field of tomorrow": { nested: [1] } };
    assert.deepEqual(await checkConfig(eagle3Schema, value, { where: name }), value);
  }
});

Deno.test("a config without a field, or with one that cannot be, is refused by its name", async () => {
  const good = config(), layer = good.transformer_layer_config;
  const { draft_vocab_size: _, ...lacking } = good;
  const withLayer = (fields: object) => ({ ...good, transformer_layer_config: { ...layer, ...fields } });
  await refused(lacking, /draft_vocab_size.*received nothing/);
  await refused({ ...good, draft_vocab_size: layer.vocab_size + 1 }, /draft_vocab_size.*at most vocab_size/);
  await refused({ ...good, eagle_aux_hidden_state_layer_ids: [-1] }, /eagle_aux_hidden_state_layer_ids\[0\]/);
  await refused(withLayer({ model_type: "gpt2" }), /model_type.*"llama"\|"qwen3"/);
  await refused(withLayer({ num_attention_heads: 5 }), /num_attention_heads.*multiple of 2/);
  await refused(withLayer({ head_dim: 7 }), /head_dim.*even/);
  await refused(withLayer({ hidden_act: "gelu" }), /hidden_act.*"silu"/);
  await refused(withLayer({ num_hidden_layers: 1e9 }), /num_hidden_layers/);
});

Deno.test("sizes that a config leaves out follow from the others", () => {
  const { hidden, heads, headDim, kvHeads, states, target, mapped } = eagle3Sizes({
    speculators_model_type: "eagle3",
    draft_vocab_size: 10,
    eagle_aux_hidden_state_layer_ids: [0, 4],
    target_hidden_size: 48,
    transformer_layer_config: {
      model_type: "llama",
      hidden_size: 32,
      intermediate_size: 64,
      num_hidden_layers: 1,
      num_attention_heads: 4,
      vocab_size: 10,
    },
  });
  assert.deepEqual([hidden, heads, headDim, kvHeads, states, target, mapped], [32, 4, 8, 4, 2, 48, false]);
});

Deno.test("rotary settings are read in the old and in the new place", () => {
  const { rope_theta: _, rope_scaling: __, ...layer } = config().transformer_layer_config;
  const maxPositions = layer.max_position_embeddings ?? null;
  assert.deepEqual(layerRope(layer), { theta: 10000, scaling: null, maxPositions });
  assert.deepEqual(layerRope({ ...layer, rope_theta: 5e5 }), { theta: 5e5, scaling: null, maxPositions });
  const newer = { rope_type: "linear", rope_theta: 2e4, factor: 2 };
  assert.deepEqual(layerRope({ ...layer, rope_parameters: newer }), {
    theta: 2e4,
    scaling: newer,
    maxPositions,
  });
});
