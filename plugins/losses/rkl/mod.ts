/** Divergence from the draft's distribution: rather few tokens right than all covered. */
import { definePlugin, type LossPlugin } from "../../../core/plugin.ts";

const plugin: LossPlugin = definePlugin({
  apiVersion: 1,
  kind: "loss",
  name: "rkl",
  summary: "Divergence from the draft's distribution: rather few tokens right than all covered",
  load: async () => ({ rows: (await import("../../../kernels/ops/loss/rows.ts")).reverseKlRowsOp }),
});
export default plugin;
