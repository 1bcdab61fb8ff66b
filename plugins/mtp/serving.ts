/**
 * What vLLM makes of MTP drafts.
 *
 * source: vllm-project/vllm v0.24.0, `transformers_utils/configs/speculators/algos.py`
 *
 * @module
 */

/** What vLLM would refuse, a sentence each: its version 0.24 knows this kind of draft within a verifier only. */
export function mtpServingProblems(): string[] {
  return [
    "vLLM 0.24 reads no speculator of the type mtp: it takes the layer from the verifier's own checkpoint",
  ];
}
