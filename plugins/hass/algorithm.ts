/** The code of the HASS plugin, as the core calls it. */
import type { DraftAlgorithm } from "../../core/plugin.ts";
import { eagleAlgorithm } from "../_shared/eagle1/algorithm.ts";
import type { EagleConfig } from "../_shared/eagle1/config.ts";

/**
 * HASS (Zhang et al. 2025, arXiv 2408.15766): at each step the loss of EAGLE plus `w · L_top-K`, the cross-entropy over
 * the K tokens that the verifier holds likeliest (section 3.1, K = 10 and w = 1), and steps that are fed the draft's own
 * features of the step before, while keys of earlier steps stay as decoding would have them (section 3.2). The text's
 * tokens are fed at every step, whether off-policy tokens are asked for or not. Gradients go back through all steps.
 */
export const hass: DraftAlgorithm<EagleConfig> = eagleAlgorithm({
  defaults: { layernorms: false, fusionBias: true },
  loss: { steps: "all", all: 0.1, top: 1, count: 10 },
});
