/** The tensors of an Eagle-3 draft, and their first values. */
import type { DraftSources, DraftTensorInfo, TensorInfo } from "../../core/plugin.ts";
import type { HostTensor } from "../../core/tensor.ts";
import { decoderTensors } from "../_shared/decoder_weights.ts";
import { draftVocabulary, keptRows } from "../_shared/draft_vocabulary.ts";
import { firstValues, fromVerifier } from "../_shared/first_values.ts";
import { type Eagle3Config, type Eagle3Sizes, eagle3Sizes } from "./config.ts";

/**
 * Every tensor of a draft: trained, frozen, and those that are the verifier's and never saved; in the order in which the
 * Python model registers its parameters, which is how an optimiser's file numbers them.
 *
 * source: speculators v0.4.0.1, `models/eagle3/core.py`
 */
export function eagle3Tensors(config: Eagle3Config): DraftTensorInfo[] {
  const sizes = eagle3Sizes(config);
  const { hidden, target, states, vocab, draftVocab } = sizes;
  const list: DraftTensorInfo[] = [];
  const put = (info: TensorInfo, trained: boolean, saved = true) => list.push({ ...info, trained, saved });
  put({ name: "fc.weight", shape: [hidden, states * target] }, true);
  if (config.norm_before_fc) put({ name: "input_norm.weight", shape: [states * target] }, true);
  if (config.fc_norm) {
    for (let i = 0; i < states; i++) put({ name: `fc_norm.${i}.weight`, shape: [target] }, true);
  }
  for (let i = 0; i < sizes.layers; i++) {
    for (const info of decoderTensors(`layers.${i}`, layerSizes(config, sizes, i))) put(info, true);
    if (i === 0) put({ name: "layers.0.hidden_norm.weight", shape: [hidden] }, true);
  }
  put({ name: "norm.weight", shape: [hidden] }, true);
  put({ name: "verifier_norm.weight", shape: [target] }, false, false);
  const embedding = { name: "embed_tokens.weight", shape: [vocab, hidden], required: false };
  put(embedding, config.embed_requires_grad ?? false);
  put({ name: "lm_head.weight", shape: [draftVocab, hidden] }, true);
  put({ name: "verifier_lm_head.weight", shape: [draftVocab, target] }, false, false);
  if (sizes.mapped) {
    put({ name: "d2t", shape: [draftVocab], required: false }, false);
    put({ name: "t2d", shape: [vocab], required: false }, false);
  }
  return list;
}

function layerSizes(config: Eagle3Config, sizes: Eagle3Sizes, layer: number) {
  const { model_type, attention_bias = false, mlp_bias = false } = config.transformer_layer_config;
  return {
    hidden: sizes.hidden,
    input: layer === 0 ? 2 * sizes.hidden : sizes.hidden,
    intermediate: sizes.intermediate,
    heads: sizes.heads,
    kvHeads: sizes.kvHeads,
    headDim: sizes.headDim,
    qkvBias: attention_bias,
    outputBias: attention_bias,
    mlpBias: mlp_bias,
    headNorms: model_type === "qwen3",
  };
}

/**
 * First values by name: those of the checkpoint, else the embedding, head and final norm of the verifier (the head's
 * rows that the draft vocabulary keeps), norms of ones, and linear layers from U(−1/√in, 1/√in) as torch draws them.
 *
 * source: speculators v0.4.0.1, `models/eagle3/core.py` (`_setup_embeddings_and_lm_heads`), `torch.nn.Linear`
 *
 * @throws {ConfigError} when a tensor has another shape than the config says, a checkpoint lacks one, or no vocabulary
 * map is given where the draft has its own vocabulary
 */
export async function initialiseEagle3(
  config: Eagle3Config,
  sources: DraftSources,
): Promise<Map<string, HostTensor>> {
  const sizes = eagle3Sizes(config), { seed, checkpoint, verifier } = sources;
  const map = sizes.mapped ? await draftVocabulary(sources, sizes) : null;
  const head = async () => keptRows(await verifier.lmHead(), map?.ids ?? null, sizes);
  return await firstValues(eagle3Tensors(config), {
    seed,
    checkpoint,
    fixed: map ? { d2t: map.d2t, t2d: map.t2d } : {},
    shared: fromVerifier(verifier, head),
  });
}
