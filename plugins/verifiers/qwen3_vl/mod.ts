/** Verifiers of the Qwen3-VL family. */
import { API_VERSION, definePlugin, type VerifierPlugin } from "../../../core/plugin.ts";
import { named } from "../../_shared/verifier_config.ts";

const ARCHITECTURES = ["Qwen3VLForConditionalGeneration"];

const plugin: VerifierPlugin = definePlugin({
  apiVersion: API_VERSION,
  kind: "verifier",
  name: "qwen3_vl",
  summary: "Qwen3-VL, text and images",
  architectures: ARCHITECTURES,
  matches: (config) => named(config, ARCHITECTURES),
  load: async () => (await import("./architecture.ts")).qwen3Vl,
});

export default plugin;
