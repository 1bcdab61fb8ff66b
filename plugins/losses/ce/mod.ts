/** Cross-entropy with the verifier's likeliest token. */
import { definePlugin, type LossPlugin } from "../../../core/plugin.ts";

const plugin: LossPlugin = definePlugin({
  apiVersion: 1,
  kind: "loss",
  name: "ce",
  summary: "Cross-entropy with the verifier's likeliest token",
  load: async () => ({ rows: (await import("../../../kernels/ops/loss/rows.ts")).crossEntropyRowsOp }),
});
export default plugin;
