/** Verifiers of the Qwen3 family. */
import { API_VERSION, definePlugin, type VerifierPlugin } from "../../../core/plugin.ts";
import { named } from "../../_shared/verifier_config.ts";

const ARCHITECTURES = ["Qwen3ForCausalLM"];

const plugin: VerifierPlugin = definePlugin({
  apiVersion: API_VERSION,
  kind: "verifier",
  name: "qwen3",
  summary: "Qwen3, dense",
  architectures: ARCHITECTURES,
  matches: (config) => named(config, ARCHITECTURES),
  load: async () => (await import("./architecture.ts")).qwen3,
});

export default plugin;
