/** LK: negative logarithm of the share that sampling accepts. */
import { definePlugin, type LossPlugin } from "../../../core/plugin.ts";

const plugin: LossPlugin = definePlugin({
  apiVersion: 1,
  kind: "loss",
  name: "nla",
  summary: "LK: negative logarithm of the share that sampling accepts",
  load: async () => ({ rows: (await import("../../../kernels/ops/loss/rows.ts")).acceptanceRowsOp }),
});
export default plugin;
