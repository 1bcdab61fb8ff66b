/** Qwen3 with experts (Yang et al. 2025, arXiv 2505.09388): a mixture in the place of some or all layers' MLPs. */
import type { TensorInfo, VerifierArchitecture, VerifierInfo } from "../../../core/plugin.ts";
import { type BlockKind, decoderArchitecture, layerPrefix } from "../../_shared/decoder_family.ts";
import { needed } from "../../_shared/decoder_weights.ts";
import { expertsBlock, gatedExperts } from "../../_shared/experts.ts";
import { qwen3Attention } from "../../_shared/qwen.ts";
import type { ConfigFields } from "../../_shared/verifier_config.ts";

/** What a config says of a model's experts. */
interface ExpertSizes {
  readonly experts: number;
  readonly count: number;
  readonly width: number;
  /** A row's weights are made to sum to 1. */
  readonly normalised: boolean;
}

/** A tensor of every expert: checkpoints hold one for each, the model all in one. */
function stacked(prefix: string, name: string, shape: readonly [number, number, number]): TensorInfo {
  const parts = Array.from({ length: shape[0] }, (_, e) => `${prefix}.mlp.experts.${e}.${name}.weight`);
  return { name: `${prefix}.mlp.experts.${name}.weight`, shape, parts };
}

function mixture(info: VerifierInfo, layer: number, sizes: ExpertSizes): BlockKind {
  const { experts, count, width, normalised } = sizes, { hiddenSize: hidden } = info;
  const prefix = layerPrefix(layer);
  return {
    tensors: [
      { name: `${prefix}.mlp.gate.weight`, shape: [experts, hidden] },
      stacked(prefix, "gate_proj", [experts, width, hidden]),
      stacked(prefix, "up_proj", [experts, width, hidden]),
      stacked(prefix, "down_proj", [experts, hidden, width]),
    ],
    build(tensors) {
      const need = (name: string) => needed(tensors, prefix, `mlp.${name}.weight`);
      return expertsBlock({
        router: need("gate"),
        // Shares of all experts divided by their sum are the shares of the chosen ones.
        choice: { count, overAll: !normalised },
        compute: gatedExperts({
          gate: need("experts.gate_proj"),
          up: need("experts.up_proj"),
          down: need("experts.down_proj"),
        }, count),
      });
    },
  };
}

/** Which layers have experts. */
function sparseLayers(layers: number, fields: ConfigFields): (layer: number) => boolean {
  const dense = fields.layers("mlp_only_layers", layers),
    step = fields.count("decoder_sparse_step", { fallback: 1 });
  return (layer) => !dense.includes(layer) && (layer + 1) % step === 0;
}

/** Reads checkpoints of Qwen3 with experts. */
export const qwen3Moe: VerifierArchitecture = decoderArchitecture({
  layers(info, fields) {
    fields.quantised();
    const parts = qwen3Attention(fields), sparse = sparseLayers(info.layers, fields);
    const window = fields.flag("use_sliding_window") ? fields.count("sliding_window") : null;
    const experts = fields.count("num_experts", { most: 1024, fallback: 128 });
    const sizes = {
      experts,
      count: fields.count("num_experts_per_tok", { most: experts, fallback: Math.min(8, experts) }),
      width: fields.count("moe_intermediate_size", { fallback: 768 }),
      normalised: fields.flag("norm_topk_prob"),
    };
    return Array.from({ length: info.layers }, (_, layer) => ({
      parts,
      window,
      ...sparse(layer) ? { block: mixture(info, layer, sizes) } : {},
    }));
  },
});
