/** The code of the Eagle v1 plugin, as the core calls it. */
import type { DraftAlgorithm } from "../../core/plugin.ts";
import { eagleAlgorithm } from "../_shared/eagle1/algorithm.ts";
import type { EagleConfig } from "../_shared/eagle1/config.ts";

/**
 * Eagle v1 (Li et al. 2024, arXiv 2401.15077, section 3.2): `L = L_reg + 0.1 · L_cls`, where `L_reg` is the smooth L1
 * between the draft's and the verifier's feature and `L_cls` the cross-entropy of the distributions that the head reads
 * from them. Trained on the verifier's features alone; the longer steps of validation show what that costs.
 */
export const eagle: DraftAlgorithm<EagleConfig> = eagleAlgorithm({
  defaults: { layernorms: false, fusionBias: false },
  loss: { steps: "first", all: 0.1, top: 0, count: 0 },
});
