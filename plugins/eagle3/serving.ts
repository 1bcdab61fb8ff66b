/**
 * What vLLM's loader of Eagle-3 drafts asks for.
 *
 * source: vllm-project/vllm v0.24.0, `model_executor/models/llama_eagle3.py`,
 * `transformers_utils/configs/speculators/algos.py`
 *
 * @module
 */
import type { FileSpec } from "../../core/formats/source.ts";
import { type Eagle3Config, eagle3Sizes } from "./config.ts";

/** Names that its model has a place for. */
const NAMES: readonly RegExp[] = [
  /^(embed_tokens|fc|norm|lm_head)\.weight$/,
  /^(input_norm|fc_norm\.\d+)\.weight$/,
  /^(d2t|t2d)$/,
  /^layers\.\d+\.(input_layernorm|hidden_norm|post_attention_layernorm)\.weight$/,
  /^layers\.\d+\.self_attn\.[qkvo]_proj\.(weight|bias)$/,
  /^layers\.\d+\.mlp\.(gate|up|down)_proj\.(weight|bias)$/,
];

/** Norms of query and key heads, which layers of Qwen3 have. */
const HEAD_NORM = /^layers\.\d+\.self_attn\.[qk]_norm\.weight$/;

/** What vLLM would refuse or get wrong, a sentence each. */
export function eagle3ServingProblems(
  config: Eagle3Config,
  tensors: ReadonlyMap<string, FileSpec>,
): string[] {
  const problems: string[] = [], sizes = eagle3Sizes(config);
  const headNorms = config.transformer_layer_config.model_type === "qwen3";
  for (const name of tensors.keys()) {
    if (headNorms && HEAD_NORM.test(name)) continue;
    if (!NAMES.some((known) => known.test(name))) problems.push(`vLLM has no place for the tensor "${name}"`);
  }
  for (const name of ["fc_norm", "norm_output"] as const) {
    if (config[name] !== true || config.transformer_layer_config[name] === true) continue;
    problems.push(
      `vLLM 0.24 reads "${name}" from transformer_layer_config only: without it there it would serve a draft without`,
    );
  }
  if (sizes.mapped && !tensors.has("d2t")) {
    problems.push(
      `The draft has ${sizes.draftVocab} of ${sizes.vocab} tokens and no "d2t": vLLM would take its ids as the verifier's`,
    );
  }
  return problems;
}
