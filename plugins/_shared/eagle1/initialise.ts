/** The tensors of a draft in the `eagle` format, and their first values. */
import type { DraftSources, DraftTensorInfo, TensorInfo } from "../../../core/plugin.ts";
import type { HostTensor } from "../../../core/tensor.ts";
import { decoderTensors } from "../decoder_weights.ts";
import { firstValues, fromVerifier } from "../first_values.ts";
import { layerSizes } from "../layer_config.ts";
import type { EagleConfig } from "./config.ts";

/** Every tensor of a draft: the trained ones, and the three that are the verifier's and not saved. */
export function eagleTensors(config: EagleConfig): DraftTensorInfo[] {
  const { layernorms = false, fusion_bias = false, transformer_layer_config: layer } = config;
  const sizes = layerSizes(layer), { hidden, vocab } = sizes;
  const { model_type, attention_bias = false, mlp_bias = false } = layer;
  const trained: TensorInfo[] = [{ name: "fusion_fc.weight", shape: [hidden, 2 * hidden] }];
  if (fusion_bias) trained.push({ name: "fusion_fc.bias", shape: [hidden] });
  if (layernorms) trained.push({ name: "embedding_layernorm.weight", shape: [hidden] });
  trained.push(...decoderTensors("transformer", {
    ...sizes,
    qkvBias: attention_bias,
    outputBias: attention_bias,
    mlpBias: mlp_bias,
    headNorms: model_type === "qwen3",
    inputNorm: layernorms,
  }));
  if (layernorms) trained.push({ name: "pre_lm_head_layernorm.weight", shape: [hidden] });
  const shared: TensorInfo[] = [
    { name: "embed_tokens.weight", shape: [vocab, hidden], required: false },
    { name: "lm_head.weight", shape: [vocab, hidden], required: false },
    { name: "verifier_norm.weight", shape: [hidden] },
  ];
  return [
    ...trained.map((info) => ({ ...info, trained: true, saved: true })),
    ...shared.map((info) => ({ ...info, trained: false, saved: false, decodes: true })),
  ];
}

/**
 * First values by name: those of the checkpoint, else embedding, head and final norm of the verifier, norms of ones, and
 * linear layers as torch draws them.
 *
 * @throws {ConfigError} when a tensor has another shape than the config says, or a checkpoint lacks one
 */
export async function initialiseEagle(
  config: EagleConfig,
  { seed, verifier, checkpoint }: DraftSources,
): Promise<Map<string, HostTensor>> {
  return await firstValues(eagleTensors(config), {
    seed,
    checkpoint,
    shared: fromVerifier(verifier),
  });
}
