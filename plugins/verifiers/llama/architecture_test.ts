import assert from "node:assert/strict";
import { ConfigError } from "../../../core/errors.ts";
import { llama } from "./architecture.ts";
import plugin from "./mod.ts";

const CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 100,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  eos_token_id: [2, 3],
};

function names(config: Record<string, unknown>): string[] {
  const info = llama.info(config, "here");
  return llama.tensors(info).filter(({ required }) => required !== false).map(({ name }) => name);
}

Deno.test("only configs that name the architecture match", () => {
  assert.ok(plugin.matches(CONFIG));
  assert.ok(!plugin.matches({ ...CONFIG, architectures: ["Qwen2ForCausalLM"] }));
  assert.ok(!plugin.matches({ architectures: "LlamaForCausalLM" }));
  assert.ok(!plugin.matches({}));
});

Deno.test("absent fields take their defaults", () => {
  const info = llama.info({ ...CONFIG, num_key_value_heads: null, head_dim: null }, "here");
  const { headDim, kvHeads, ropeTheta, ropeScaling, eosTokenIds } = info;
  assert.deepEqual({ headDim, kvHeads, ropeTheta, ropeScaling, eosTokenIds }, {
    headDim: 8,
    kvHeads: 4,
    ropeTheta: 10000,
    ropeScaling: null,
    eosTokenIds: [2, 3],
  });
});

Deno.test("biases and the head are tensors only where the config says so", () => {
  const plain = names(CONFIG);
  assert.ok(plain.includes("lm_head.weight") && !plain.some((name) => name.endsWith(".bias")));
  assert.ok(!names({ ...CONFIG, tie_word_embeddings: true }).includes("lm_head.weight"));
  const biases = names({ ...CONFIG, attention_bias: true, mlp_bias: true }).filter((name) =>
    name.endsWith(".bias")
  );
  assert.equal(biases.length, 2 * 7);
});

Deno.test("a field that is missing or cannot be used is refused by name, with what it is", () => {
  const bad: [string, unknown, RegExp][] = [
    ["hidden_size", undefined, /here\/config\.json: hidden_size.*received nothing/],
    ["vocab_size", 1e12, /vocab_size.*received 1000000000000/],
    ["num_hidden_layers", -1, /num_hidden_layers.*received -1/],
    ["num_key_value_heads", 3, /num_key_value_heads.*divisor.*4.*received 3/],
    ["head_dim", 7, /head_dim.*even.*received 7/],
    ["hidden_act", "gelu", /hidden_act.*"silu".*"gelu"/],
    ["rms_norm_eps", "small", /rms_norm_eps.*"small"/],
    ["attention_bias", 1, /attention_bias.*true or false.*received 1/],
    ["rope_scaling", { rope_type: "longrope" }, /rope_type.*longrope/],
    ["eos_token_id", "end", /eos_token_id.*"end"/],
  ];
  for (const [name, value, message] of bad) {
    assert.throws(
      () => llama.info({ ...CONFIG, [name]: value }, "here"),
      (error) => error instanceof ConfigError && message.test(error.message),
      name,
    );
  }
});
