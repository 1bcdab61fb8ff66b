/** gpt-oss (OpenAI 2025, arXiv 2508.10925): experts in every layer, attention sinks, every second layer with a window. */
import type { TensorInfo, VerifierArchitecture, VerifierInfo } from "../../../core/plugin.ts";
import type { Tensor } from "../../../core/tensor.ts";
import { clampedSwiglu, type ExpertWeights } from "../../../kernels/ops/mod.ts";
import { type BlockKind, decoderArchitecture, layerPrefix } from "../../_shared/decoder_family.ts";
import { needed } from "../../_shared/decoder_weights.ts";
import { expertsBlock } from "../../_shared/experts.ts";

/** Constants of the gate, whatever the config says. */
const GATE = { alpha: 1.702, limit: 7 };

/** Entries of a block of MXFP4, which shares a scale. */
const BLOCK = 32;

interface ExpertSizes {
  readonly experts: number;
  readonly count: number;
  /** The experts are MXFP4. */
  readonly packed: boolean;
}

/** The tensors of one projection of all experts. */
function projection(
  prefix: string,
  { experts, packed, rows, columns }: {
    readonly experts: number;
    readonly packed: boolean;
    readonly rows: number;
    readonly columns: number;
  },
): TensorInfo[] {
  const bias: TensorInfo = { name: `${prefix}_bias`, shape: [experts, rows] };
  if (!packed) return [{ name: prefix, shape: [experts, columns, rows] }, bias];
  const blocks = columns / BLOCK;
  return [
    { name: `${prefix}_blocks`, shape: [experts, rows, blocks, BLOCK / 2], dtype: "u8" },
    { name: `${prefix}_scales`, shape: [experts, rows, blocks], dtype: "u8" },
    bias,
  ];
}

function weightsOf(tensors: ReadonlyMap<string, Tensor>, prefix: string, packed: boolean): ExpertWeights {
  const bias = needed(tensors, prefix, "bias", "_");
  return packed
    ? { weight: needed(tensors, prefix, "blocks", "_"), scales: needed(tensors, prefix, "scales", "_"), bias }
    : { weight: tensors.get(prefix)!, bias, inputFirst: true };
}

function mixture(info: VerifierInfo, layer: number, sizes: ExpertSizes): BlockKind {
  const { hiddenSize: hidden, intermediateSize: width } = info, { experts, count, packed } = sizes;
  const prefix = `${layerPrefix(layer)}.mlp`, inner = `${prefix}.experts.gate_up_proj`;
  const outer = `${prefix}.experts.down_proj`;
  return {
    tensors: [
      { name: `${prefix}.router.weight`, shape: [experts, hidden] },
      { name: `${prefix}.router.bias`, shape: [experts] },
      ...projection(inner, { experts, packed, rows: 2 * width, columns: hidden }),
      ...projection(outer, { experts, packed, rows: hidden, columns: width }),
    ],
    build(tensors) {
      const gateUp = weightsOf(tensors, inner, packed), down = weightsOf(tensors, outer, packed);
      return expertsBlock({
        router: needed(tensors, prefix, "router.weight"),
        routerBias: needed(tensors, prefix, "router.bias"),
        choice: { count },
        compute: (run, x, product) => product(clampedSwiglu(run, product(x, gateUp, count), GATE), down),
      });
    },
  };
}

/** Reads gpt-oss checkpoints. */
export const gptOss: VerifierArchitecture = decoderArchitecture({
  defaults: { headDim: 64, rmsNormEps: 1e-5, ropeTheta: 150000 },
  activation: null,
  layers(info, fields) {
    const packed = fields.quantised("mxfp4"), bias = fields.flag("attention_bias", true);
    for (const name of packed ? ["hidden_size", "intermediate_size"] : []) fields.multiple(name, BLOCK);
    const experts = fields.count("num_local_experts", { most: 1024, fallback: 128 });
    const count = fields.count("num_experts_per_tok", { most: experts, fallback: Math.min(4, experts) });
    const windows = fields.windows(info.layers, (layer) => (layer + 1) % 2 === 1);
    return windows.map((window, layer) => ({
      parts: { qkvBias: bias, outputBias: bias },
      window,
      sinks: `${layerPrefix(layer)}.self_attn.sinks`,
      block: mixture(info, layer, { experts, count, packed }),
    }));
  },
});
