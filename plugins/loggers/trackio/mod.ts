/**
 * Logs a run to a Trackio server.
 *
 * @module
 */
import { definePlugin, type LoggerPlugin } from "../../../core/plugin.ts";

const plugin: LoggerPlugin = definePlugin({
  apiVersion: 1,
  kind: "logger",
  name: "trackio",
  summary: "A Trackio server, over HTTP, at TRACKIO_SERVER_URL",
  async open(run) {
    const { openTrackio } = await import("./trackio.ts");
    return await openTrackio(run);
  },
});

export default plugin;
