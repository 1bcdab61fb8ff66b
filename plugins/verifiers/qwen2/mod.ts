/** Verifiers of the Qwen2 family. */
import { API_VERSION, definePlugin, type VerifierPlugin } from "../../../core/plugin.ts";
import { named } from "../../_shared/verifier_config.ts";

const ARCHITECTURES = ["Qwen2ForCausalLM"];

const plugin: VerifierPlugin = definePlugin({
  apiVersion: API_VERSION,
  kind: "verifier",
  name: "qwen2",
  summary: "Qwen2 and Qwen2.5",
  architectures: ARCHITECTURES,
  matches: (config) => named(config, ARCHITECTURES),
  load: async () => (await import("./architecture.ts")).qwen2,
});

export default plugin;
