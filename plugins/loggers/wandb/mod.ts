/**
 * Logs a run for Weights & Biases, without a network.
 *
 * @module
 */
import { definePlugin, type LoggerPlugin } from "../../../core/plugin.ts";

const plugin: LoggerPlugin = definePlugin({
  apiVersion: 1,
  kind: "logger",
  name: "wandb",
  summary: "A folder of an offline run, which `wandb sync` uploads",
  async open(run) {
    const { openWandb } = await import("./wandb.ts");
    return await openWandb(run);
  },
});

export default plugin;
