import assert from "node:assert/strict";
import type { ConvertRequest } from "../../core/conversion.ts";
import { FormatError } from "../../core/errors.ts";
import type { FileSpec } from "../../core/formats/source.ts";
import { fromVerifier } from "./convert.ts";
import { toVerifier } from "./convert_back.ts";

const CONFIG = { architectures: ["X"], hidden_size: 8, vocab_size: 20, model_type: "qwen3", head_dim: 4 };
const NAMES = [
  "mtp.fc.weight",
  "mtp.norm.weight",
  "mtp.pre_fc_norm_hidden.weight",
  "mtp.pre_fc_norm_embedding.weight",
  "mtp.layers.0.input_layernorm.weight",
  "mtp.layers.0.post_attention_layernorm.weight",
  ...["q", "k", "v", "o"].map((part) => `mtp.layers.0.self_attn.${part}_proj.weight`),
];

function request(names: readonly string[], config: Record<string, unknown> = CONFIG): ConvertRequest {
  const spec: FileSpec = { shape: [8, 8], dtype: "bf16" };
  return {
    source: { where: "verifier", config, tensors: new Map(names.map((name) => [name, spec])) },
    verifier: { nameOrPath: "verifier", config: CONFIG },
    options: {},
    strictUpstream: false,
    dtype: null,
    fill: [],
  };
}

Deno.test("the layer goes out of a verifier's checkpoint and back under its names", () => {
  const there = fromVerifier.plan(request([...NAMES, "model.embed_tokens.weight", "lm_head.weight"]));
  assert.equal(there.tensors.length, NAMES.length);
  assert.ok(there.tensors.every(({ name }) => name.startsWith("mtp_layers.0.")));
  const back = toVerifier.plan(request(there.tensors.map(({ name }) => name), { ...there.config }));
  assert.deepEqual(back.tensors.map(({ name }) => name).sort(), [...NAMES].sort());
});

Deno.test("a layer that is not whole, or not alone, is refused by name", () => {
  const refused = (names: readonly string[], message: RegExp) =>
    assert.throws(
      () => fromVerifier.plan(request(names)),
      (error) => error instanceof FormatError && message.test(error.message),
    );
  refused(NAMES.slice(1), /input_proj\.weight/);
  refused([...NAMES, "mtp.layers.1.input_layernorm.weight"], /mtp\.layers\.1/);
  const expert = (i: number, part: string) => `mtp.layers.0.mlp.experts.${i}.${part}_proj.weight`;
  const whole = ["gate", "up", "down"].map((part) => expert(0, part));
  refused([...NAMES, ...whole, expert(1, "gate"), expert(1, "up")], /down_proj/);
  refused([...NAMES, ...["gate", "up", "down"].map((part) => expert(2, part))], /for 0/);
});
