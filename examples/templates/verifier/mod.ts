/** An architecture of verifiers: layers as Llama's, under a name of its own. */
import { definePlugin, type VerifierPlugin } from "../../../mod.ts";
import { decoderArchitecture } from "../../../plugins/_shared/decoder_family.ts";

const ARCHITECTURES = ["MyVerifierForCausalLM"];

const plugin: VerifierPlugin = definePlugin({
  apiVersion: 1,
  kind: "verifier",
  name: "my_verifier",
  summary: "Models whose config.json names MyVerifierForCausalLM",
  architectures: ARCHITECTURES,
  matches: ({ architectures }) =>
    Array.isArray(architectures) && architectures.some((name) => ARCHITECTURES.includes(name)),
  load: () =>
    Promise.resolve(
      // What differs from a plain decoder is said a layer at a time, from the fields of config.json.
      decoderArchitecture({
        layers({ layers }, fields) {
          const bias = fields.flag("attention_bias");
          return Array.from({ length: layers }, () => ({ parts: { qkvBias: bias, outputBias: bias } }));
        },
      }),
    ),
});

export default plugin;
