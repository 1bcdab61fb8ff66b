import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../../core/errors.ts";
import type { VerifierInfo } from "../../core/plugin.ts";
import { goldenJson } from "../../tests/golden.ts";
import type { Eagle3Config } from "./config.ts";
import { defaultLayerIds } from "../_shared/layer_ids.ts";
import { configureEagle3, eagle3Needs } from "./configure.ts";

const VERIFIER = fileURLToPath(new URL("../../examples/assets/tiny-verifier", import.meta.url));

async function verifier(): Promise<VerifierInfo> {
  const { llama } = await import("../verifiers/llama/architecture.ts");
  return llama.info(JSON.parse(await Deno.readTextFile(`${VERIFIER}/config.json`)), VERIFIER);
}

Deno.test("a new draft's config is the one that the Python system writes for this verifier", async () => {
  const want = goldenJson<Eagle3Config>("generate", "draft", "config.json");
  const { speculators_config: wantMethod, ...rest } = want;
  const { speculators_config: method, ...got } = configureEagle3(await verifier(), {
    draftVocabSize: want.draft_vocab_size,
    layerIds: want.eagle_aux_hidden_state_layer_ids!,
  });
  for (const [field, value] of Object.entries(got)) {
    // The stored draft is in bf16 and was written by the version before.
    if (field !== "dtype" && field !== "speculators_version") assert.deepEqual(value, rest[field], field);
  }
  const path = { verifier: { architectures: ["LlamaForCausalLM"], name_or_path: VERIFIER } };
  assert.deepEqual(method, { ...wantMethod as object, ...path });
});

Deno.test("a new draft may have more layers, of the other kind", async () => {
  const config = configureEagle3(await verifier(), {
    numLayers: 2,
    draftArch: "qwen3",
    normBeforeResidual: false,
    embedRequiresGrad: true,
  });
  const { transformer_layer_config: layer } = config;
  assert.deepEqual([layer.model_type, layer.num_hidden_layers, layer.vocab_size], ["qwen3", 2, 2048]);
  assert.equal(config.draft_vocab_size, 2048);
  assert.equal(config.norm_before_residual, false);
  assert.equal(config.embed_requires_grad, true);
});

Deno.test("a draft reads an early, a middle and a late state unless its config says others", async () => {
  const info = await verifier();
  assert.deepEqual(defaultLayerIds(32), [2, 16, 29]);
  const config: Eagle3Config = {
    ...configureEagle3(info, {}),
    eagle_aux_hidden_state_layer_ids: null,
  };
  assert.deepEqual(eagle3Needs(config, info), { layers: [2, 4, 5], last: true });
  const own = { ...config, eagle_aux_hidden_state_layer_ids: [8, 0, 1] };
  assert.deepEqual(eagle3Needs(own, info).layers, [8, 0, 1]);
});

Deno.test("options and verifiers that do not fit are refused", async () => {
  const info = await verifier();
  const refused = (work: () => unknown, message: RegExp) =>
    assert.throws(work, (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    });
  refused(() => configureEagle3(info, { draftArch: "mamba" }), /"draft-arch".*llama, qwen3.*"mamba"/);
  refused(() => configureEagle3(info, { draftVocabSize: 4096 }), /"draft-vocab-size".*1 to 2048.*4096/);
  refused(() => configureEagle3(info, { layerIds: [2, 4, 9] }), /ids from 0 to 8, received 9/);
  const config = configureEagle3(info, {});
  refused(() => eagle3Needs(config, { ...info, hiddenSize: 64 }), /width 192 .*received width 64/);
});
