/** Hidden states and text from a running vLLM server. */
import { API_VERSION, definePlugin, type EnginePlugin } from "../../../core/plugin.ts";

const plugin: EnginePlugin = definePlugin({
  apiVersion: API_VERSION,
  kind: "engine",
  name: "vllm",
  summary: "A running vLLM server, over HTTP: any number of GPUs",
  capabilities: { capture: true, generate: true },
  open: async (options) => (await import("./engine.ts")).openVllmEngine(options),
  serveCommand: async (options) => (await import("./command.ts")).vllmCommand(options),
  acceptanceCounts: async (endpoint, options) =>
    (await import("./acceptance.ts")).acceptanceCounts(endpoint, options),
  draftCommand: async (options) => (await import("./draft_command.ts")).draftCommand(options),
  readLog: async (text) => (await import("./acceptance.ts")).acceptanceOfLog(text),
});

export default plugin;
