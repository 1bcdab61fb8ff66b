/**
 * The DFlash draft model (arXiv 2602.06036): the verifier's states, projected once, are keys and values of every layer; a
 * block of an anchor token and mask tokens attends to those before its anchor and to itself, and all its places give
 * their tokens at once.
 */
import { PluginError } from "../../core/errors.ts";
import type { Part } from "../../core/tape.ts";
import type { Run, Tensor } from "../../core/tensor.ts";
import { gather, linear, rmsnorm, rope, type RopeTables } from "../../kernels/ops/mod.ts";
import {
  type DecoderContext,
  decoderLayer,
  type DecoderWeights,
  projectAll,
  type Projection,
} from "../_shared/decoder.ts";
import { decoderWeights, wideVectors } from "../_shared/decoder_weights.ts";
import { type DFlashConfig, type DFlashSizes, dflashSizes } from "./config.ts";

/** The draft's weights by what they do. V the verifier's vocabulary, H the draft's width. */
export interface DFlashWeights {
  /** Sizes of the draft. */
  readonly sizes: DFlashSizes;
  /** `[V, H]`. */
  readonly embed: Tensor;
  /** `[H, states · target width]`. */
  readonly fc: Tensor;
  /** f32 `[H]`: norm of the projected states. */
  readonly hiddenNorm: Tensor;
  /** Decoder layers. */
  readonly layers: readonly DecoderWeights[];
  /** f32 `[H]`. */
  readonly norm: Tensor;
  /** `[draft vocabulary, H]`. */
  readonly head: Tensor;
  /** i32 `[draft vocabulary]`, or `null` where the vocabularies are one. */
  readonly d2t: Tensor | null;
}

/**
 * The weights of a draft out of its tensors. Norms and biases that are stored in 16 bits are widened by `run`; the
 * widened ones are the caller's (or the open scope's).
 *
 * @throws {PluginError} when a tensor is missing
 */
export function dflashWeights(
  run: Run,
  config: DFlashConfig,
  tensors: ReadonlyMap<string, Tensor>,
): DFlashWeights {
  const sizes = dflashSizes(config), wide = wideVectors(run, tensors);
  const need = (name: string): Tensor => {
    const tensor = wide.get(name);
    if (!tensor) throw new PluginError("dflash", `expected a tensor "${name}", received ${wide.size} others`);
    return tensor;
  };
  return {
    sizes,
    embed: need("embed_tokens.weight"),
    fc: need("fc.weight"),
    hiddenNorm: need("hidden_norm.weight"),
    layers: Array.from({ length: sizes.layers }, (_, i) => decoderWeights(wide, `layers.${i}`)),
    norm: need("norm.weight"),
    head: need("lm_head.weight"),
    d2t: sizes.mapped ? need("d2t") : null,
  };
}

/** The verifier's states side by side, f32 `[C, states · target width]`, as every layer's keys are made of: f32 `[C, H]`. */
export function contextOf(run: Run, w: DFlashWeights, states: Tensor): Tensor {
  return rmsnorm(run, linear(run, states, w.fc), w.hiddenNorm, w.sizes.eps);
}

/** A layer's keys and values of the context. `positions` i32 `[C]` → k and v f32 `[C, kvHeads·headDim]`. */
export function contextKeys(
  run: Run,
  { w, layer, context }: { readonly w: DFlashWeights; readonly layer: number; readonly context: Tensor },
  at: { readonly tables: RopeTables; readonly positions: Tensor },
): { readonly k: Tensor; readonly v: Tensor } {
  const { attention } = w.layers[layer]!, { eps, headDim } = w.sizes;
  const kept: Projection[] = [[attention.k, attention.kBias], [attention.v, attention.vBias]];
  const [k, v] = projectAll(run, context, kept) as [Tensor, Tensor];
  const normed = attention.kNorm ? rmsnorm(run, k, attention.kNorm, eps) : k;
  return { k: rope(run, normed, at.tables, at.positions, headDim), v };
}

/**
 * The rows of some blocks, i32 `[R]` ids of the verifier, through all layers: f32 `[R, H]`, before the final norm. Each
 * layer is a `part`, where there is one.
 */
export function blockStates(
  run: Run,
  { w, ids }: { readonly w: DFlashWeights; readonly ids: Tensor },
  options: {
    readonly inPlace?: boolean;
    readonly part?: Part | undefined;
    context(layer: number, run: Run): DecoderContext;
  },
): Tensor {
  const { inPlace = false, part = (work) => work(run) } = options;
  return w.layers.reduce((x, weights, layer) => {
    const [out] = part((run) => [
      decoderLayer(run, x, { weights, context: options.context(layer, run), inPlace }),
    ]);
    return out!;
  }, gather(run, w.embed, ids));
}

/** What the head takes: f32 `[R, H]`, normed. */
export function finalNorm(run: Run, w: DFlashWeights, hidden: Tensor): Tensor {
  return rmsnorm(run, hidden, w.norm, w.sizes.eps);
}
