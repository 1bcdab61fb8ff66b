import assert from "node:assert/strict";
import type { ConvertRequest } from "../../core/conversion.ts";
import { ConfigError, FormatError } from "../../core/errors.ts";
import type { FileSpec } from "../../core/formats/source.ts";
import { fromAuthors, toAuthors } from "./convert.ts";

const CONFIG = {
  architectures: ["DFlashDraftModel"],
  attention_bias: false,
  block_size: 16,
  dflash_config: { mask_token_id: 90, target_layer_ids: [1, 4, 6] },
  head_dim: 8,
  hidden_act: "silu",
  hidden_size: 32,
  intermediate_size: 48,
  layer_types: ["full_attention"],
  max_position_embeddings: 512,
  num_attention_heads: 4,
  num_hidden_layers: 1,
  num_key_value_heads: 2,
  num_target_layers: 8,
  rms_norm_eps: 1e-6,
  rope_theta: 1000000,
  vocab_size: 96,
};

const SHAPES: Readonly<Record<string, readonly number[]>> = {
  "fc.weight": [32, 96],
  "hidden_norm.weight": [32],
  "layers.0.input_layernorm.weight": [32],
  "layers.0.mlp.down_proj.weight": [32, 48],
  "layers.0.mlp.gate_proj.weight": [48, 32],
  "layers.0.mlp.up_proj.weight": [48, 32],
  "layers.0.post_attention_layernorm.weight": [32],
  "layers.0.self_attn.k_norm.weight": [8],
  "layers.0.self_attn.k_proj.weight": [16, 32],
  "layers.0.self_attn.o_proj.weight": [32, 32],
  "layers.0.self_attn.q_norm.weight": [8],
  "layers.0.self_attn.q_proj.weight": [32, 32],
  "layers.0.self_attn.v_proj.weight": [16, 32],
  "norm.weight": [32],
};

function request(config: Record<string, unknown>, shapes = SHAPES): ConvertRequest {
  const tensors = new Map<string, FileSpec>(
    Object.entries(shapes).map(([name, shape]) => [name, { shape, dtype: "bf16" }]),
  );
  return {
    source: { where: "draft", config, tensors },
    verifier: {
      nameOrPath: "verifier",
      config: { architectures: ["Qwen3ForCausalLM"], hidden_size: 32, vocab_size: 96 },
    },
    options: {},
    strictUpstream: false,
    dtype: null,
    fill: [],
  };
}

Deno.test("the authors' layout becomes a speculator with the verifier's embedding and head", () => {
  const { config, tensors, unexpected } = fromAuthors.plan(request(CONFIG));
  assert.equal(config["speculators_model_type"], "dflash");
  assert.equal(config["block_size"], 16);
  assert.equal(config["mask_token_id"], 90);
  assert.deepEqual(config["aux_hidden_state_layer_ids"], [2, 5, 7]);
  assert.deepEqual(unexpected, []);
  const lent = tensors.filter(({ content }) => content.kind === "verifier");
  assert.deepEqual(lent.map(({ name, shape, dtype }) => [name, shape, dtype]), [
    ["embed_tokens.weight", [96, 32], "bf16"],
    ["lm_head.weight", [96, 32], "bf16"],
  ]);
  assert.equal(tensors.length, Object.keys(SHAPES).length + 2);
});

Deno.test("a block size among the DFlash fields is found too", () => {
  const { block_size, ...rest } = CONFIG;
  const inner = { ...rest, dflash_config: { ...CONFIG.dflash_config, block_size } };
  assert.equal(fromAuthors.plan(request(inner)).config["block_size"], 16);
});

Deno.test("the way back gives the authors' fields and leaves embedding and head out", () => {
  const there = fromAuthors.plan(request(CONFIG));
  const shapes = Object.fromEntries(there.tensors.map(({ name, shape }) => [name, shape]));
  const { config, tensors } = toAuthors.plan(request({ ...there.config }, shapes));
  assert.deepEqual(config["dflash_config"], CONFIG.dflash_config);
  assert.equal(config["block_size"], 16);
  assert.equal(config["rope_theta"], 1000000);
  assert.deepEqual(tensors.map(({ name }) => name).sort(), Object.keys(SHAPES).sort());
});

Deno.test("what does not fit is refused by name", () => {
  const { "fc.weight": _, ...lacking } = SHAPES;
  assert.throws(() => fromAuthors.plan(request(CONFIG, lacking)), FormatError);
  assert.throws(
    () => fromAuthors.plan(request({ ...CONFIG, dflash_config: { mask_token_id: 90 } })),
    (error) => error instanceof ConfigError && /target_layer_ids/.test(error.message),
  );
  assert.throws(
    () => toAuthors.plan(request({ ...CONFIG, transformer_layer_config: {} }, { ...SHAPES, d2t: [40] })),
    (error) => error instanceof ConfigError && /d2t/.test(error.message),
  );
});
