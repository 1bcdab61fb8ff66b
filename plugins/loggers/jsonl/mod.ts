/**
 * Logs a run as lines of JSON.
 *
 * @module
 */
import { definePlugin, type LoggerPlugin } from "../../../core/plugin.ts";

const plugin: LoggerPlugin = definePlugin({
  apiVersion: 1,
  kind: "logger",
  name: "jsonl",
  summary: "Lines of JSON in metrics.jsonl, one a step",
  async open(run) {
    const { openJsonl } = await import("./jsonl.ts");
    return await openJsonl(run);
  },
});

export default plugin;
