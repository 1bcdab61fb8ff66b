/**
 * HASS: the draft model of Eagle v1, trained on its own features as it will meet them when it proposes (Zhang et al. 2025,
 * arXiv 2408.15766). Its checkpoints are in the format of `eagle` and name that plugin.
 *
 * @module
 */
import { definePlugin, type DraftPlugin } from "../../core/plugin.ts";

const plugin: DraftPlugin = definePlugin({
  apiVersion: 1,
  kind: "draft",
  name: "hass",
  summary: "HASS: Eagle v1 trained over harmonised steps with a top-k loss; checkpoints are eagle's",
  trainable: true,
  load: async () => (await import("./algorithm.ts")).hass,
});
export default plugin;
