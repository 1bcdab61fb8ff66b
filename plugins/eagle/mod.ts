/**
 * Eagle v1: a draft of one decoder layer that guesses the verifier's next features (Li et al. 2024, arXiv 2401.15077). Its
 * checkpoints may come from any trainer of that format, Eagle-2 and HASS among them: all decode alike.
 *
 * @module
 */
import { definePlugin, type DraftPlugin } from "../../core/plugin.ts";

const plugin: DraftPlugin = definePlugin({
  apiVersion: 1,
  kind: "draft",
  name: "eagle",
  summary: "Eagle v1: guesses the verifier's next features, trained on the true ones",
  trainable: true,
  load: async () => (await import("./algorithm.ts")).eagle,
});
export default plugin;
