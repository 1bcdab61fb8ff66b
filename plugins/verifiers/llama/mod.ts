/** Verifiers of the Llama family. */
import { API_VERSION, definePlugin, type VerifierPlugin } from "../../../core/plugin.ts";
import { named } from "../../_shared/verifier_config.ts";

const ARCHITECTURES = ["LlamaForCausalLM"];

const plugin: VerifierPlugin = definePlugin({
  apiVersion: API_VERSION,
  kind: "verifier",
  name: "llama",
  summary: "Llama 2 and 3 and what shares their architecture",
  architectures: ARCHITECTURES,
  matches: (config) => named(config, ARCHITECTURES),
  load: async () => (await import("./architecture.ts")).llama,
});

export default plugin;
