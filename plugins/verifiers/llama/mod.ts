/** Verifiers of the Llama family. */
import { API_VERSION, definePlugin, type VerifierPlugin } from "../../../core/plugin.ts";

const plugin: VerifierPlugin = definePlugin({
  apiVersion: API_VERSION,
  kind: "verifier",
  name: "llama",
  summary: "Llama 2 and 3 and what shares their architecture",
  architectures: ["LlamaForCausalLM"],
  matches(config) {
    const { architectures } = config;
    return Array.isArray(architectures) && architectures.includes("LlamaForCausalLM");
  },
  load: async () => (await import("./architecture.ts")).llama,
});

export default plugin;
