/** Verifiers of the gpt-oss family. */
import { API_VERSION, definePlugin, type VerifierPlugin } from "../../../core/plugin.ts";
import { named } from "../../_shared/verifier_config.ts";

const ARCHITECTURES = ["GptOssForCausalLM"];

const plugin: VerifierPlugin = definePlugin({
  apiVersion: API_VERSION,
  kind: "verifier",
  name: "gpt_oss",
  summary: "gpt-oss, its experts in bf16 or MXFP4",
  architectures: ARCHITECTURES,
  matches: (config) => named(config, ARCHITECTURES),
  load: async () => (await import("./architecture.ts")).gptOss,
});

export default plugin;
