/** Drafts in the `eagle` format back to the research code's layout. */
import type { DraftConverter } from "../../../core/conversion.ts";
import { planBack } from "../convert_back.ts";

const NAMES: Readonly<Record<string, string>> = {
  "embedding_layernorm.weight": "embed_layernorm.weight",
  "pre_lm_head_layernorm.weight": "lm_head_layernorm.weight",
  "transformer.input_layernorm.weight": "hidden_layernorm.weight",
};

/** To `fc`, `layers.0.*`. */
export const toEagleResearch: DraftConverter = {
  name: "eagle-research",
  direction: "out",
  summary: "Eagle and HASS as their authors' code loads them",
  options: {},
  plan: (request) =>
    planBack(request, {
      rename: (name) =>
        Object.hasOwn(NAMES, name)
          ? NAMES[name]!
          : name.replace(/^transformer\./, "layers.0.").replace(/^fusion_fc\./, "fc."),
      fields: {},
    }),
};
