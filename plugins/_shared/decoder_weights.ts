/** A decoder layer's weights under the names that Hugging Face gives them. */
import { PluginError } from "../../core/errors.ts";
import type { TensorInfo } from "../../core/plugin.ts";
import type { Run, Tensor } from "../../core/tensor.ts";
import { cast } from "../../kernels/ops/mod.ts";
import type { AttentionWeights, DecoderWeights, FeedForward, LayerWeights, MlpWeights } from "./decoder.ts";

/** Sizes of a decoder layer, and which weights it has. */
export interface DecoderSizes {
  /** Width of the residual stream. */
  readonly hidden: number;
  /** Width of what the q, k and v projections take; `hidden` when absent. */
  readonly input?: number;
  /** Width of the MLP. */
  readonly intermediate: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Entries of one head. */
  readonly headDim: number;
  /** Biases of q, k and v. */
  readonly qkvBias?: boolean;
  /** Bias of the output projection. */
  readonly outputBias?: boolean;
  /** Biases of the MLP. */
  readonly mlpBias?: boolean;
  /** Norms of each query and key head. */
  readonly headNorms?: boolean;
  /** Norm before attention; `true` when absent. */
  readonly inputNorm?: boolean;
}

/** Collects tensors whose names begin with `prefix`. */
class TensorList {
  readonly all: TensorInfo[] = [];
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  put(name: string, ...shape: number[]): void {
    this.all.push({ name: `${this.#prefix}.${name}`, shape });
  }

  linear(name: string, [rows, columns]: readonly [number, number], bias = false): void {
    this.put(`${name}.weight`, rows, columns);
    if (bias) this.put(`${name}.bias`, rows);
  }
}

/** Every tensor of a layer whose names begin with `prefix` (`model.layers.3`), in the order of transformers' module. */
export function decoderTensors(prefix: string, sizes: DecoderSizes): TensorInfo[] {
  const all = [...attentionTensors(prefix, sizes), ...mlpTensors(prefix, sizes)];
  const isNorm = ({ name }: TensorInfo) => name.endsWith("_layernorm.weight");
  return [...all.filter((info) => !isNorm(info)), ...all.filter(isNorm)];
}

/** The tensors of a layer without those of its MLP. */
export function attentionTensors(
  prefix: string,
  sizes: Omit<DecoderSizes, "intermediate" | "mlpBias">,
): TensorInfo[] {
  const { hidden, input = hidden, heads, kvHeads, headDim } = sizes, list = new TensorList(prefix);
  if (sizes.inputNorm ?? true) list.put("input_layernorm.weight", hidden);
  list.linear("self_attn.q_proj", [heads * headDim, input], sizes.qkvBias);
  list.linear("self_attn.k_proj", [kvHeads * headDim, input], sizes.qkvBias);
  list.linear("self_attn.v_proj", [kvHeads * headDim, input], sizes.qkvBias);
  list.linear("self_attn.o_proj", [hidden, heads * headDim], sizes.outputBias);
  if (sizes.headNorms) {
    list.put("self_attn.q_norm.weight", headDim);
    list.put("self_attn.k_norm.weight", headDim);
  }
  list.put("post_attention_layernorm.weight", hidden);
  return list.all;
}

/** The tensors of a layer's MLP. */
export function mlpTensors(
  prefix: string,
  { hidden, intermediate, mlpBias }: Pick<DecoderSizes, "hidden" | "intermediate" | "mlpBias">,
): TensorInfo[] {
  const list = new TensorList(prefix);
  list.linear("mlp.gate_proj", [intermediate, hidden], mlpBias);
  list.linear("mlp.up_proj", [intermediate, hidden], mlpBias);
  list.linear("mlp.down_proj", [hidden, intermediate], mlpBias);
  return list.all;
}

/**
 * A layer's weights out of a model's tensors; what the map does not have of biases and head norms the layer does without.
 *
 * @throws {PluginError} when a weight that every layer has is not there
 */
export function decoderWeights(tensors: ReadonlyMap<string, Tensor>, prefix: string): DecoderWeights {
  return {
    inputNorm: needed(tensors, prefix, "input_layernorm.weight"),
    ...blockWeights(tensors, prefix),
  };
}

/**
 * A tensor of a layer.
 *
 * @throws {PluginError} when it is not there
 */
export function needed(
  tensors: ReadonlyMap<string, Tensor>,
  prefix: string,
  ...[name, joint = "."]: readonly [name: string, joint?: string]
): Tensor {
  const tensor = tensors.get(`${prefix}${joint}${name}`);
  if (!tensor) {
    throw new PluginError(
      prefix,
      `expected a tensor "${prefix}${joint}${name}", received ${tensors.size} others`,
    );
  }
  return tensor;
}

/**
 * A layer's weights without the norm before attention, which some layers do not have.
 *
 * @throws {PluginError} when a weight that every layer has is not there
 */
export function blockWeights(
  tensors: ReadonlyMap<string, Tensor>,
  prefix: string,
): Omit<DecoderWeights, "inputNorm"> {
  return {
    postNorm: needed(tensors, prefix, "post_attention_layernorm.weight"),
    attention: attentionWeights(tensors, prefix),
    mlp: mlpWeights(tensors, prefix),
  };
}

/**
 * A layer's weights but for those of its MLP, in whose place `mlp` stands.
 *
 * @throws {PluginError} when a weight that every layer has is not there
 */
export function layerWeights(
  tensors: ReadonlyMap<string, Tensor>,
  prefix: string,
  mlp: MlpWeights | FeedForward,
): LayerWeights {
  return {
    inputNorm: needed(tensors, prefix, "input_layernorm.weight"),
    postNorm: needed(tensors, prefix, "post_attention_layernorm.weight"),
    attention: attentionWeights(tensors, prefix),
    mlp,
  };
}

function optional<K extends string>(
  tensors: ReadonlyMap<string, Tensor>,
  key: K,
  name: string,
): { readonly [k in K]?: Tensor } {
  const tensor = tensors.get(name);
  return tensor ? { [key]: tensor } as { readonly [k in K]: Tensor } : {};
}

function attentionWeights(tensors: ReadonlyMap<string, Tensor>, prefix: string): AttentionWeights {
  const need = (name: string): Tensor => needed(tensors, prefix, name);
  const maybe = <K extends string>(key: K, name: string) => optional(tensors, key, `${prefix}.${name}`);
  return {
    q: need("self_attn.q_proj.weight"),
    k: need("self_attn.k_proj.weight"),
    v: need("self_attn.v_proj.weight"),
    o: need("self_attn.o_proj.weight"),
    ...maybe("qBias", "self_attn.q_proj.bias"),
    ...maybe("kBias", "self_attn.k_proj.bias"),
    ...maybe("vBias", "self_attn.v_proj.bias"),
    ...maybe("oBias", "self_attn.o_proj.bias"),
    ...maybe("qNorm", "self_attn.q_norm.weight"),
    ...maybe("kNorm", "self_attn.k_norm.weight"),
  };
}

/**
 * The weights of a layer's gated MLP.
 *
 * @throws {PluginError} when one is not there
 */
export function mlpWeights(tensors: ReadonlyMap<string, Tensor>, prefix: string): MlpWeights {
  const need = (name: string): Tensor => needed(tensors, prefix, name);
  const maybe = <K extends string>(key: K, name: string) => optional(tensors, key, `${prefix}.${name}`);
  return {
    gate: need("mlp.gate_proj.weight"),
    up: need("mlp.up_proj.weight"),
    down: need("mlp.down_proj.weight"),
    ...maybe("gateBias", "mlp.gate_proj.bias"),
    ...maybe("upBias", "mlp.up_proj.bias"),
    ...maybe("downBias", "mlp.down_proj.bias"),
  };
}

/**
 * A model's tensors with its norms and biases in f32, as the ops take them: those that are stored in 16 bits are widened
 * by `run`, and the widened ones are the caller's (or the open scope's).
 */
export function wideVectors(run: Run, tensors: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  return new Map(
    [...tensors].map(([name, tensor]) => {
      const vector = tensor.shape.length === 1 && (tensor.dtype === "bf16" || tensor.dtype === "f16");
      return [name, vector ? cast(run, tensor, "f32") : tensor];
    }),
  );
}
