/**
 * The pre-norm decoder layer that most models share, over any `run`: a tape's in training, a backend's otherwise. It does
 * not know how keys are kept; {@linkcode DecoderContext.attend} is handed the rotated rows and decides.
 */
import type { Run, Tensor } from "../../core/tensor.ts";
import {
  add,
  linear,
  linears,
  matmulAdd,
  rmsnorm,
  rope,
  type RopeTables,
  swiglu,
} from "../../kernels/ops/mod.ts";

/** Weights of an attention block; biases and head norms where a model has them. */
export interface AttentionWeights {
  /** `[heads·headDim, in]`. */
  readonly q: Tensor;
  /** `[kvHeads·headDim, in]`. */
  readonly k: Tensor;
  /** `[kvHeads·headDim, in]`. */
  readonly v: Tensor;
  /** `[hidden, heads·headDim]`. */
  readonly o: Tensor;
  /** f32 `[heads·headDim]`. */
  readonly qBias?: Tensor;
  /** f32 `[kvHeads·headDim]`. */
  readonly kBias?: Tensor;
  /** f32 `[kvHeads·headDim]`. */
  readonly vBias?: Tensor;
  /** f32 `[hidden]`. */
  readonly oBias?: Tensor;
  /** f32 `[headDim]`: norm of each query head before the rotation. */
  readonly qNorm?: Tensor;
  /** f32 `[headDim]`: norm of each key head before the rotation. */
  readonly kNorm?: Tensor;
}

/** Weights of a gated MLP. */
export interface MlpWeights {
  /** `[intermediate, hidden]`. */
  readonly gate: Tensor;
  /** `[intermediate, hidden]`. */
  readonly up: Tensor;
  /** `[hidden, intermediate]`. */
  readonly down: Tensor;
  /** f32 `[intermediate]`. */
  readonly gateBias?: Tensor;
  /** f32 `[intermediate]`. */
  readonly upBias?: Tensor;
  /** f32 `[hidden]`. */
  readonly downBias?: Tensor;
}

/** Weights of a decoder layer. */
export interface DecoderWeights {
  /** f32 `[hidden]`: norm before attention. */
  readonly inputNorm: Tensor;
  /** f32 `[hidden]`: norm before the MLP. */
  readonly postNorm: Tensor;
  /** Attention. */
  readonly attention: AttentionWeights;
  /** MLP. */
  readonly mlp: MlpWeights;
}

/** A block of another kind in the MLP's place: gives `rows + block(x)`, formed in `rows` where it may be. */
export type FeedForward = (
  run: Run,
  rows: Tensor,
  input: { readonly x: Tensor; readonly inPlace: boolean },
) => Tensor;

/** Weights of a decoder layer whose MLP may be of another kind. */
export interface LayerWeights extends Omit<DecoderWeights, "mlp"> {
  /** A gated MLP's weights, or what stands in its place. */
  readonly mlp: MlpWeights | FeedForward;
}

/** What the layers of one pass share. */
export interface DecoderContext {
  /** Entries of one head. */
  readonly headDim: number;
  /** Added to the mean square in norms. */
  readonly eps: number;
  /** Tables of the rotation. */
  readonly tables: RopeTables;
  /** i32 `[T]`: row of the tables for each row. */
  readonly positions: Tensor;
  /** Where only some rows ask: every row gives a key and a value, but the layer works on and gives these rows only. */
  readonly ask?: {
    /** The rows that ask, of f32 `[T, ·]`. */
    pick(x: Tensor): Tensor;
    /** Their positions, i32. */
    readonly positions: Tensor;
  };
  /**
   * Attention over whatever keys the caller keeps. q f32 `[T, heads·headDim]`, k and v f32 `[T, kvHeads·headDim]`, rotated
   * where they are to be → f32 `[T, heads·headDim]`.
   */
  attend(q: Tensor, k: Tensor, v: Tensor): Tensor;
}

function project(run: Run, x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const y = linear(run, x, weight);
  return bias ? add(run, y, bias) : y;
}

/** A weight, and its bias if it has one. */
export type Projection = readonly [weight: Tensor, bias?: Tensor | undefined];

/** Several projections of one input, in one call where their weights are of one dtype. */
export function projectAll(
  run: Run,
  x: Tensor,
  layers: readonly Projection[],
): Tensor[] {
  const dtype = layers[0]![0].dtype;
  if (layers.some(([weight]) => weight.dtype !== dtype)) {
    return layers.map(([weight, bias]) => project(run, x, weight, bias));
  }
  const found = linears(run, x, layers.map(([weight]) => weight));
  return layers.map(([, bias], i) => bias ? add(run, found[i]!, bias) : found[i]!);
}

/** What the heads of attention give, before the output projection: f32 `[T, in]` → f32 `[T, heads·headDim]`. */
function heads(run: Run, x: Tensor, w: AttentionWeights, context: DecoderContext): Tensor {
  const { headDim, eps, tables, positions, ask } = context;
  const asked: Projection = [w.q, w.qBias], kept: Projection[] = [[w.k, w.kBias], [w.v, w.vBias]];
  const [q0, k0, v] = ask
    ? [project(run, ask.pick(x), ...asked), ...projectAll(run, x, kept)]
    : projectAll(run, x, [asked, ...kept]);
  let q = q0!, k = k0!;
  if (w.qNorm) q = rmsnorm(run, q, w.qNorm, eps);
  if (w.kNorm) k = rmsnorm(run, k, w.kNorm, eps);
  q = rope(run, q, tables, ask ? ask.positions : positions, headDim);
  k = rope(run, k, tables, positions, headDim);
  return context.attend(q, k, v!);
}

/** What a block works on, and whether its result may be formed in the rows it is added to: no tape can be run so. */
interface Block<W> {
  /** f32 `[T, in]`, normed. */
  readonly x: Tensor;
  /** The block's weights. */
  readonly weights: W;
  /** `rows` may be changed, and is the result where the block has no bias. */
  readonly inPlace: boolean;
}

function addProjected(
  run: Run,
  rows: Tensor,
  y: Tensor,
  w: { readonly weight: Tensor; readonly bias: Tensor | undefined; readonly inPlace: boolean },
): Tensor {
  if (!w.inPlace) return add(run, rows, project(run, y, w.weight, w.bias));
  const sum = matmulAdd(run, y, w.weight, rows, { transB: true });
  return w.bias ? add(run, sum, w.bias) : sum;
}

/** `rows + attn(x)`: f32 `[T, hidden]` → f32 `[T, hidden]`. */
export function addAttention(
  run: Run,
  rows: Tensor,
  { x, weights: w, context, inPlace }: Block<AttentionWeights> & { readonly context: DecoderContext },
): Tensor {
  return addProjected(run, rows, heads(run, x, w, context), { weight: w.o, bias: w.oBias, inPlace });
}

/** `rows + down(silu(gate x) · up x)`: f32 `[T, hidden]` → f32 `[T, hidden]`. */
export function addMlp(run: Run, rows: Tensor, { x, weights: w, inPlace }: Block<MlpWeights>): Tensor {
  const [gate, up] = projectAll(run, x, [[w.gate, w.gateBias], [w.up, w.upBias]]);
  return addProjected(run, rows, swiglu(run, gate!, up!), { weight: w.down, bias: w.downBias, inPlace });
}

/**
 * `x ← x + attn(norm₁ x)`, `x ← x + mlp(norm₂ x)`: f32 `[T, hidden]` → f32 `[T, hidden]`.
 *
 * @param options.inPlace the sums may be formed in place, without a tape
 * @param options.overwrite where they are, `x` itself may be changed, and is the result where the layer has no biases
 */
export function decoderLayer(
  run: Run,
  x: Tensor,
  { weights: w, context, inPlace = false, overwrite = inPlace }: {
    readonly weights: LayerWeights;
    readonly context: DecoderContext;
    readonly inPlace?: boolean;
    readonly overwrite?: boolean;
  },
): Tensor {
  const { ask, eps } = context, normed = rmsnorm(run, x, w.inputNorm, eps);
  // Rows that were picked are a copy, which nobody else sees.
  const h = addAttention(run, ask ? ask.pick(x) : x, {
    x: normed,
    weights: w.attention,
    context,
    inPlace: inPlace && (overwrite || ask !== undefined),
  });
  const x2 = rmsnorm(run, h, w.postNorm, eps), { mlp } = w;
  return typeof mlp === "function"
    ? mlp(run, h, { x: x2, inPlace })
    : addMlp(run, h, { x: x2, weights: mlp, inPlace });
}
