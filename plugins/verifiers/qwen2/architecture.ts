/** Qwen2 and Qwen2.5 (Yang et al. 2024, arXiv 2407.10671): Llama's layers with biases of q, k and v. */
import type { VerifierArchitecture } from "../../../core/plugin.ts";
import { decoderArchitecture } from "../../_shared/decoder_family.ts";
import { qwenWindows } from "../../_shared/qwen.ts";

/** Reads Qwen2 checkpoints. */
export const qwen2: VerifierArchitecture = decoderArchitecture({
  layers({ layers }, fields) {
    fields.quantised();
    return qwenWindows(fields, layers).map((window) => ({ parts: { qkvBias: true }, window }));
  },
});
