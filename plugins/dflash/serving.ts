/**
 * What vLLM's loader of DFlash drafts asks for.
 *
 * source: vllm-project/vllm v0.24.0, `model_executor/models/qwen3_dflash.py`, `v1/spec_decode/dflash.py`,
 * `transformers_utils/configs/speculators/algos.py`
 *
 * @module
 */
import type { FileSpec } from "../../core/formats/source.ts";
import { type DFlashConfig, dflashSizes } from "./config.ts";

/** Names that its model has a place for. */
const NAMES: readonly RegExp[] = [
  /^(embed_tokens|fc|hidden_norm|norm|lm_head)\.weight$/,
  /^(d2t|t2d)$/,
  /^layers\.\d+\.(input_layernorm|post_attention_layernorm)\.weight$/,
  /^layers\.\d+\.self_attn\.[qkvo]_proj\.(weight|bias)$/,
  /^layers\.\d+\.self_attn\.[qk]_norm\.weight$/,
  /^layers\.\d+\.mlp\.(gate|up|down)_proj\.weight$/,
];

/** What vLLM would refuse or get wrong, a sentence each. */
export function dflashServingProblems(
  config: DFlashConfig,
  tensors: ReadonlyMap<string, FileSpec>,
): string[] {
  const problems: string[] = [], sizes = dflashSizes(config);
  for (const name of tensors.keys()) {
    if (!NAMES.some((known) => known.test(name))) problems.push(`vLLM has no place for the tensor "${name}"`);
  }
  if (sizes.mapped && !tensors.has("d2t")) {
    problems.push(
      `The draft has ${sizes.draftVocab} of ${sizes.vocab} tokens and no "d2t": vLLM would take its ids as the verifier's`,
    );
  }
  if (sizes.first === 0) {
    problems.push(
      "vLLM 0.24 takes no token from the anchor's place: it would read sample_from_anchor as false",
    );
  }
  if (sizes.sight.some(({ window }) => window !== null)) {
    problems.push(
      "vLLM 0.24 gives every layer of a DFlash draft full attention: it would look past the window",
    );
  }
  return problems;
}
