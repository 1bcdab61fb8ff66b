/** MTP drafts as the layer within a verifier's checkpoint. */
import type { DraftConverter } from "../../core/conversion.ts";
import { planBack } from "../_shared/convert_back.ts";
import { NAMES } from "./convert.ts";

/** To `mtp.*`: what a verifier's own checkpoint holds of it. */
export const toVerifier: DraftConverter = {
  name: "mtp",
  direction: "out",
  summary: "the tensors mtp.* that go into a verifier's checkpoint",
  options: {},
  plan: (request) => {
    const { verifier } = request, architectures = verifier?.config["architectures"];
    return planBack(request, {
      rename(name) {
        const [theirs, ours] = NAMES.find(([, begin]) => name.startsWith(begin)) ?? [];
        return theirs === undefined || ours === undefined ? name : theirs + name.slice(ours.length);
      },
      fields: Array.isArray(architectures) ? { architectures } : {},
    });
  },
};
