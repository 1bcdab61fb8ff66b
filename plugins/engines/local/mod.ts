/** Hidden states and text from a verifier on this machine. */
import { API_VERSION, definePlugin, type EnginePlugin } from "../../../core/plugin.ts";

const plugin: EnginePlugin = definePlugin({
  apiVersion: API_VERSION,
  kind: "engine",
  name: "local",
  summary: "This machine: the verifier runs on the project's own kernels",
  capabilities: { capture: true, generate: true, images: true },
  open: async (options) => (await import("./engine.ts")).openLocalEngine(options),
});

export default plugin;
