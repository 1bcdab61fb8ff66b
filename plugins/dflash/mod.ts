/**
 * DFlash: a draft that reads the verifier's states as keys and writes a whole block of tokens in one pass (arXiv
 * 2602.06036).
 *
 * @module
 */
import { definePlugin, type DraftPlugin } from "../../core/plugin.ts";

const plugin: DraftPlugin = definePlugin({
  apiVersion: 1,
  kind: "draft",
  name: "dflash",
  summary: "DFlash: drafts a block of tokens in one pass",
  trainable: true,
  load: async () => (await import("./algorithm.ts")).dflash,
});
export default plugin;
