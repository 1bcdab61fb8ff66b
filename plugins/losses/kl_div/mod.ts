/** Divergence from the verifier's distribution: Eagle-3's own loss. */
import { definePlugin, type LossPlugin } from "../../../core/plugin.ts";

const plugin: LossPlugin = definePlugin({
  apiVersion: 1,
  kind: "loss",
  name: "kl_div",
  summary: "Divergence from the verifier's distribution: Eagle-3's own loss",
  load: async () => ({ rows: (await import("../../../kernels/ops/loss/rows.ts")).klRowsOp }),
});
export default plugin;
