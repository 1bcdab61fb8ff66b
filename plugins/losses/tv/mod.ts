/** Total variation: the share of drafted tokens that sampling refuses. */
import { definePlugin, type LossPlugin } from "../../../core/plugin.ts";

const plugin: LossPlugin = definePlugin({
  apiVersion: 1,
  kind: "loss",
  name: "tv",
  summary: "Total variation: the share of drafted tokens that sampling refuses",
  load: async () => ({ rows: (await import("../../../kernels/ops/loss/rows.ts")).totalVariationRowsOp }),
});
export default plugin;
