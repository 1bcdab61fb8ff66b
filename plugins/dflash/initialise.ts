/** The tensors of a DFlash draft, and their first values. */
import type { DraftSources, DraftTensorInfo, TensorInfo } from "../../core/plugin.ts";
import type { HostTensor } from "../../core/tensor.ts";
import { decoderTensors } from "../_shared/decoder_weights.ts";
import { draftVocabulary, keptRows } from "../_shared/draft_vocabulary.ts";
import { firstValues, fromVerifier } from "../_shared/first_values.ts";
import { type DFlashConfig, dflashSizes } from "./config.ts";

/** Tensors without those that are the verifier's: shapes of what a checkpoint of any layout has. */
export function draftedTensors(config: DFlashConfig): TensorInfo[] {
  const sizes = dflashSizes(config), { hidden, target, states } = sizes;
  const { attention_bias = false } = config.transformer_layer_config;
  const list: TensorInfo[] = [
    { name: "fc.weight", shape: [hidden, states * target] },
    { name: "hidden_norm.weight", shape: [hidden] },
  ];
  for (let i = 0; i < sizes.layers; i++) {
    list.push(...decoderTensors(`layers.${i}`, {
      ...sizes,
      qkvBias: attention_bias,
      outputBias: attention_bias,
      headNorms: true,
    }));
  }
  return [...list, { name: "norm.weight", shape: [hidden] }];
}

/** Every tensor of a draft: the trained ones, embedding and head, which are the verifier's, and what only training needs. */
export function dflashTensors(config: DFlashConfig): DraftTensorInfo[] {
  const { hidden, target, vocab, draftVocab, mapped } = dflashSizes(config);
  const frozen: TensorInfo[] = [
    { name: "embed_tokens.weight", shape: [vocab, hidden], required: false },
    { name: "lm_head.weight", shape: [draftVocab, hidden], required: false },
    ...mapped
      ? [
        { name: "d2t", shape: [draftVocab], required: false },
        { name: "t2d", shape: [vocab], required: false },
      ]
      : [],
  ];
  const verifier: TensorInfo[] = [
    { name: "verifier_lm_head.weight", shape: [draftVocab, target] },
    { name: "verifier_norm.weight", shape: [target] },
  ];
  return [
    ...draftedTensors(config).map((info) => ({ ...info, trained: true, saved: true })),
    ...frozen.map((info) => ({ ...info, trained: false, saved: true })),
    ...verifier.map((info) => ({ ...info, trained: false, saved: false })),
  ];
}

/**
 * First values by name: those of the checkpoint, else embedding, head and final norm of the verifier (the head's rows that
 * the draft vocabulary keeps), norms of ones, and linear layers as torch draws them.
 *
 * source: speculators v0.7.0.1, `model.py` (`DraftVocabMixin`), `models/dflash/core.py`
 *
 * @throws {ConfigError} when a tensor has another shape than the config says, a checkpoint lacks one, or no vocabulary
 * map is given where the draft has its own vocabulary
 */
export async function initialiseDFlash(
  config: DFlashConfig,
  sources: DraftSources,
): Promise<Map<string, HostTensor>> {
  const sizes = dflashSizes(config), { seed, checkpoint, verifier } = sources;
  const map = sizes.mapped ? await draftVocabulary(sources, sizes) : null;
  const head = async () => keptRows(await verifier.lmHead(), map?.ids ?? null, sizes);
  return await firstValues(dflashTensors(config), {
    seed,
    checkpoint,
    fixed: map ? { d2t: map.d2t, t2d: map.t2d } : {},
    shared: fromVerifier(verifier, head),
  });
}
