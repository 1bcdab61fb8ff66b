/**
 * MTP: one layer that predicts the next tokens one after the other from the verifier's last state, as some verifiers bring
 * it along, trained over several steps (FastMTP, arXiv 2509.18362).
 *
 * @module
 */
import { definePlugin, type DraftPlugin } from "../../core/plugin.ts";

const plugin: DraftPlugin = definePlugin({
  apiVersion: 1,
  kind: "draft",
  name: "mtp",
  summary: "MTP: a verifier's own next-token layer, trained over steps",
  trainable: true,
  load: async () => (await import("./algorithm.ts")).mtp,
});
export default plugin;
