/**
 * Eagle-3: a draft of one or a few decoder layers that reads three of the verifier's hidden states and is trained on its
 * own output (Li et al. 2025, arXiv 2503.01840).
 *
 * @module
 */
import { definePlugin, type DraftPlugin } from "../../core/plugin.ts";

const plugin: DraftPlugin = definePlugin({
  apiVersion: 1,
  kind: "draft",
  name: "eagle3",
  summary: "Eagle-3: reads three hidden states of the verifier, trained on its own steps",
  trainable: true,
  load: async () => (await import("./algorithm.ts")).eagle3,
});
export default plugin;
