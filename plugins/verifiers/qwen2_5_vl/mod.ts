/** Verifiers of the Qwen2.5-VL family. */
import { API_VERSION, definePlugin, type VerifierPlugin } from "../../../core/plugin.ts";
import { named } from "../../_shared/verifier_config.ts";

const ARCHITECTURES = ["Qwen2_5_VLForConditionalGeneration"];

const plugin: VerifierPlugin = definePlugin({
  apiVersion: API_VERSION,
  kind: "verifier",
  name: "qwen2_5_vl",
  summary: "Qwen2.5-VL, text and images",
  architectures: ARCHITECTURES,
  // Some versions of transformers save the architecture's name inside text_config only.
  matches: (config) =>
    named(config, ARCHITECTURES) || (!config["architectures"] && config["model_type"] === "qwen2_5_vl"),
  load: async () => (await import("./architecture.ts")).qwen2_5Vl,
});

export default plugin;
