/** The tensors of an MTP draft, and their first values. */
import type { DraftSources, DraftTensorInfo, TensorInfo } from "../../core/plugin.ts";
import type { HostTensor } from "../../core/tensor.ts";
import { decoderTensors } from "../_shared/decoder_weights.ts";
import { firstValues, fromVerifier } from "../_shared/first_values.ts";
import { type MtpConfig, mtpLayer, mtpSizes } from "./config.ts";

/** What the names of the layer's tensors begin with. */
export const PREFIX = "mtp_layers.0";

/** Every tensor of a draft: the layer's, which are trained, and embedding, head and norm, which stay the verifier's. */
export function mtpTensors(config: MtpConfig): DraftTensorInfo[] {
  const sizes = mtpSizes(config), { hidden, vocab } = sizes;
  const { attention_bias = false } = mtpLayer(config);
  const trained: TensorInfo[] = [
    { name: `${PREFIX}.hidden_layernorm.weight`, shape: [hidden] },
    { name: `${PREFIX}.token_layernorm.weight`, shape: [hidden] },
    { name: `${PREFIX}.input_proj.weight`, shape: [hidden, 2 * hidden] },
    ...decoderTensors(PREFIX, {
      ...sizes,
      qkvBias: attention_bias,
      outputBias: attention_bias,
      headNorms: true,
    }),
    { name: `${PREFIX}.final_layernorm.weight`, shape: [hidden] },
  ];
  const shared: TensorInfo[] = [
    { name: "embed_tokens.weight", shape: [vocab, hidden] },
    { name: "lm_head.weight", shape: [vocab, hidden] },
    ...config.norm_hidden_states ? [{ name: "verifier_norm.weight", shape: [hidden] }] : [],
  ];
  return [
    ...trained.map((info) => ({ ...info, trained: true, saved: true })),
    ...shared.map((info) => ({ ...info, trained: false, saved: false, decodes: true })),
  ];
}

/**
 * First values by name: those of the checkpoint, else norms of ones and linear layers as torch draws them; embedding, head
 * and final norm of the verifier.
 *
 * @throws {ConfigError} when a tensor has another shape than the config says, or a checkpoint lacks one
 */
export async function initialiseMtp(
  config: MtpConfig,
  { seed, verifier, checkpoint }: DraftSources,
): Promise<Map<string, HostTensor>> {
  return await firstValues(mtpTensors(config), {
    seed,
    checkpoint,
    shared: fromVerifier(verifier),
  });
}
