/** Eagle-3 drafts back to the research code's layout. */
import type { ConvertRequest, DraftConverter } from "../../core/conversion.ts";
import { planBack } from "../_shared/convert_back.ts";

/** To `midlayer.*`, with what the layout has no field for beside the others. */
export const toResearch: DraftConverter = {
  name: "eagle3-research",
  direction: "out",
  summary: "Eagle-3 as its authors' code loads it",
  options: {},
  plan: (request) =>
    planBack(request, {
      rename: (name) => name.replace(/^layers\.0\./, "midlayer."),
      fields: fieldsOf(request),
    }),
};

function fieldsOf({ source: { config } }: ConvertRequest): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const names = [
    "draft_vocab_size",
    "target_hidden_size",
    "eagle_aux_hidden_state_layer_ids",
    "norm_before_residual",
    "norm_before_fc",
    "fc_norm",
    "norm_output",
  ];
  for (const name of names) {
    const value = config[name] ?? null;
    if (value !== null && value !== false) fields[name] = value;
  }
  return fields;
}
