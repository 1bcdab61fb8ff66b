import assert from "node:assert/strict";
import { ConfigError } from "../../core/errors.ts";
import { qwenWindows } from "./qwen.ts";
import { ConfigFields, decoderInfo } from "./verifier_config.ts";

function windows(config: Record<string, unknown>): readonly (number | null)[] {
  return qwenWindows(new ConfigFields(config, "here"), 4);
}

Deno.test("a window counts only where use_sliding_window is set", () => {
  const types = Array(4).fill("sliding_attention");
  assert.deepEqual(windows({ sliding_window: 8, layer_types: types }), [null, null, null, null]);
  assert.deepEqual(windows({ use_sliding_window: true, sliding_window: 8, layer_types: types }), [
    8,
    8,
    8,
    8,
  ]);
});

Deno.test("layers slide from max_window_layers on where no list says which do", () => {
  const config = { use_sliding_window: true, sliding_window: 8 };
  assert.deepEqual(windows({ ...config, max_window_layers: 0 }), [8, 8, 8, 8]);
  assert.deepEqual(windows({ ...config, max_window_layers: 3 }), [null, null, null, 8]);
  assert.deepEqual(windows(config), [null, null, null, null]);
});

Deno.test("a list of layers that does not fit, and a window without its size, are refused", () => {
  const config = { use_sliding_window: true, max_window_layers: 0 };
  assert.throws(() => windows(config), /sliding_window.*received nothing/);
  for (const types of [["full_attention"], Array(4).fill("chunked_attention"), "full_attention"]) {
    assert.throws(() => windows({ ...config, sliding_window: 8, layer_types: types }), ConfigError);
  }
});

Deno.test("weights quantised in a way that is not read are refused with what to do", () => {
  const fields = new ConfigFields({ quantization_config: { quant_method: "fp8" } }, "here");
  assert.throws(() => fields.quantised("mxfp4"), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /quant_method.*"mxfp4" or weights that are not quantised, received "fp8"/);
    assert.match(error.hint ?? "", /vllm/);
    return true;
  });
  assert.equal(
    new ConfigFields({ quantization_config: { quant_method: "mxfp4" } }, "here").quantised("mxfp4"),
    true,
  );
});

Deno.test("the rotation is read from rope_parameters too, where newer checkpoints have it", () => {
  const info = decoderInfo({
    hidden_size: 8,
    intermediate_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    vocab_size: 9,
    max_position_embeddings: 16,
    rope_parameters: { rope_type: "linear", factor: 2, rope_theta: 500 },
  }, "here");
  assert.equal(info.ropeTheta, 500);
  assert.equal(info.ropeScaling?.["factor"], 2);
});
