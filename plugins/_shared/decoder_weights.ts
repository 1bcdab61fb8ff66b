/** A decoder layer's weights under the names that Hugging Face gives them. */
import { PluginError } from "../../core/errors.ts";
import type { TensorInfo } from "../../core/plugin.ts";
import type { Run, Tensor } from "../../core/tensor.ts";
import { cast } from "../../kernels/ops/mod.ts";
import type { AttentionWeights, DecoderWeights, MlpWeights } from "./decoder.ts";

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

/** Every tensor of a layer whose names begin with `prefix` (`model.layers.3`). */
export function decoderTensors(prefix: string, sizes: DecoderSizes): TensorInfo[] {
  const { hidden, input = hidden, intermediate, heads, kvHeads, headDim } = sizes;
  const list: TensorInfo[] = [];
  const put = (name: string, ...shape: number[]) => list.push({ name: `${prefix}.${name}`, shape });
  const linear = (name: string, rows: number, columns: number, bias = false) => {
    put(`${name}.weight`, rows, columns);
    if (bias) put(`${name}.bias`, rows);
  };
  if (sizes.inputNorm ?? true) put("input_layernorm.weight", hidden);
  linear("self_attn.q_proj", heads * headDim, input, sizes.qkvBias);
  linear("self_attn.k_proj", kvHeads * headDim, input, sizes.qkvBias);
  linear("self_attn.v_proj", kvHeads * headDim, input, sizes.qkvBias);
  linear("self_attn.o_proj", hidden, heads * headDim, sizes.outputBias);
  if (sizes.headNorms) {
    put("self_attn.q_norm.weight", headDim);
    put("self_attn.k_norm.weight", headDim);
  }
  put("post_attention_layernorm.weight", hidden);
  linear("mlp.gate_proj", intermediate, hidden, sizes.mlpBias);
  linear("mlp.up_proj", intermediate, hidden, sizes.mlpBias);
  linear("mlp.down_proj", hidden, intermediate, sizes.mlpBias);
  return list;
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

function needed(tensors: ReadonlyMap<string, Tensor>, prefix: string, name: string): Tensor {
  const tensor = tensors.get(`${prefix}.${name}`);
  if (!tensor) {
    throw new PluginError(prefix, `expected a tensor "${prefix}.${name}", received ${tensors.size} others`);
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
  const need = (name: string): Tensor => needed(tensors, prefix, name);
  const optional = <K extends string>(key: K, name: string): { readonly [k in K]?: Tensor } => {
    const tensor = tensors.get(`${prefix}.${name}`);
    return tensor ? { [key]: tensor } as { readonly [k in K]: Tensor } : {};
  };
  const attention: AttentionWeights = {
    q: need("self_attn.q_proj.weight"),
    k: need("self_attn.k_proj.weight"),
    v: need("self_attn.v_proj.weight"),
    o: need("self_attn.o_proj.weight"),
    ...optional("qBias", "self_attn.q_proj.bias"),
    ...optional("kBias", "self_attn.k_proj.bias"),
    ...optional("vBias", "self_attn.v_proj.bias"),
    ...optional("oBias", "self_attn.o_proj.bias"),
    ...optional("qNorm", "self_attn.q_norm.weight"),
    ...optional("kNorm", "self_attn.k_norm.weight"),
  };
  const mlp: MlpWeights = {
    gate: need("mlp.gate_proj.weight"),
    up: need("mlp.up_proj.weight"),
    down: need("mlp.down_proj.weight"),
    ...optional("gateBias", "mlp.gate_proj.bias"),
    ...optional("upBias", "mlp.up_proj.bias"),
    ...optional("downBias", "mlp.down_proj.bias"),
  };
  return { postNorm: need("post_attention_layernorm.weight"), attention, mlp };
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
