/** Jensen-Shannon divergence: between kl_div and rkl, bounded. */
import { definePlugin, type LossPlugin } from "../../../core/plugin.ts";

const plugin: LossPlugin = definePlugin({
  apiVersion: 1,
  kind: "loss",
  name: "jsd",
  summary: "Jensen-Shannon divergence: between kl_div and rkl, bounded",
  load: async () => ({ rows: (await import("../../../kernels/ops/loss/rows.ts")).jensenShannonRowsOp }),
});
export default plugin;
