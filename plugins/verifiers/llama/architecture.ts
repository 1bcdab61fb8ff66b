/** The Llama architecture (Touvron et al. 2023, arXiv 2302.13971), as transformers names its weights. */
import type { VerifierArchitecture } from "../../../core/plugin.ts";
import { decoderArchitecture } from "../../_shared/decoder_family.ts";

/** Reads Llama checkpoints. */
export const llama: VerifierArchitecture = decoderArchitecture({
  layers({ layers }, fields) {
    fields.quantised();
    const bias = fields.flag("attention_bias"), mlpBias = fields.flag("mlp_bias");
    return Array.from({ length: layers }, () => ({ parts: { qkvBias: bias, outputBias: bias, mlpBias } }));
  },
});
