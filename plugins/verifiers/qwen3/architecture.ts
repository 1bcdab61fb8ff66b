/** Qwen3 (Yang et al. 2025, arXiv 2505.09388): each head of q and k is normed, and its size is a field of its own. */
import type { VerifierArchitecture } from "../../../core/plugin.ts";
import { decoderArchitecture } from "../../_shared/decoder_family.ts";
import { QWEN3_HEAD_DIM, qwen3Attention, qwenWindows } from "../../_shared/qwen.ts";

/** Reads Qwen3 checkpoints. */
export const qwen3: VerifierArchitecture = decoderArchitecture({
  defaults: { headDim: QWEN3_HEAD_DIM },
  layers({ layers }, fields) {
    fields.quantised();
    const parts = qwen3Attention(fields);
    return qwenWindows(fields, layers).map((window) => ({ parts, window }));
  },
});
