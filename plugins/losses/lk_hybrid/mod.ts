/** LK hybrid: kl_div while little is accepted, then tv. */
import { definePlugin, type LossPlugin } from "../../../core/plugin.ts";

const plugin: LossPlugin = definePlugin({
  apiVersion: 1,
  kind: "loss",
  name: "lk_hybrid",
  summary: "LK hybrid: kl_div while little is accepted, then tv",
  load: async () => ({ rows: (await import("../../../kernels/ops/loss/rows.ts")).hybridRowsOp }),
});
export default plugin;
