/**
 * Logs a run to TensorBoard.
 *
 * @module
 */
import { definePlugin, type LoggerPlugin } from "../../../core/plugin.ts";

const plugin: LoggerPlugin = definePlugin({
  apiVersion: 1,
  kind: "logger",
  name: "tensorboard",
  summary: "Event files that TensorBoard reads: scalars, settings",
  async open(run) {
    const { openTensorboard } = await import("./tensorboard.ts");
    return await openTensorboard(run);
  },
});

export default plugin;
