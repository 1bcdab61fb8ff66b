/**
 * Attention of blocks: each row sees a run of the context's keys and a run of the blocks' keys. It is the attention over
 * either, merged by the sums of exponentials that both keep; its gradient is that of either with what they are merged to
 * (Dao et al. 2022, arXiv 2205.14135).
 */
import { ShapeError } from "../../core/errors.ts";
import { describe, type Op, type Run, type Spec, type Tensor } from "../../core/tensor.ts";
import {
  add,
  type AttentionAttrs,
  attentionGradOp,
  attentionOp,
  refuseLseGradient,
} from "../../kernels/ops/mod.ts";
import { mergeWgsl } from "./merge_wgsl.ts";

/** Attributes of {@linkcode mergeOp}. */
export interface MergeAttrs {
  /** Entries of a head. */
  readonly headDim: number;
}

function sameAs(op: string, name: string, found: Spec | undefined, wanted: Spec): void {
  const fits = found?.dtype === wanted.dtype && found.shape.join() === wanted.shape.join();
  if (fits) return;
  throw new ShapeError(
    op,
    `expected "${name}" as ${describe(wanted)}, received ${found ? describe(found) : "none"}`,
  );
}

/**
 * What two attentions of the same queries give, as one over the keys of both: outA f32 `[T, heads·headDim]`, lseA f32
 * `[T, heads]`, outB, lseB → out, lse.
 */
export const mergeOp: Op<MergeAttrs> = {
  name: "dflash_merge",
  infer([outA, lseA, outB, lseB], { headDim }) {
    const [rows, width] = outA?.shape.length === 2 ? outA.shape as [number, number] : [0, headDim];
    const out: Spec = { shape: [rows, width], dtype: "f32" };
    const lse: Spec = { shape: [rows, Math.floor(width / headDim)], dtype: "f32" };
    sameAs("dflash_merge", "outA", outA, out);
    sameAs("dflash_merge", "lseA", lseA, lse);
    sameAs("dflash_merge", "outB", outB, out);
    sameAs("dflash_merge", "lseB", lseB, lse);
    return [out, lse];
  },
  wgsl: mergeWgsl,
  wasm(call, inputs, outputs, { headDim }) {
    const [outA, lseA, outB, lseB] = inputs.map((tensor) => call.view(tensor) as Float32Array);
    const [out, lse] = outputs.map((tensor) => call.view(tensor) as Float32Array);
    for (let head = 0; head < lse!.length; head++) {
      const a = lseA![head]!, b = lseB![head]!, most = Math.max(a, b);
      const ea = Math.exp(a - most), eb = Math.exp(b - most), sum = ea + eb;
      lse![head] = most + Math.log(sum);
      const start = head * headDim, shareA = ea / sum, shareB = eb / sum;
      for (let i = start; i < start + headDim; i++) out![i] = shareA * outA![i]! + shareB * outB![i]!;
    }
  },
};

/** Attributes of {@linkcode blockAttentionOp}. */
export type BlockAttentionAttrs = Omit<AttentionAttrs, "diagonals">;

/**
 * q f32 `[T, heads·headDim]`, the context's k and v f32 `[C, kvHeads·headDim]`, the blocks' k and v f32 `[T, …]`, the first
 * and one past the last key that each row sees of either, i32 `[T, 2]` → out like q, lse f32 `[T, heads]`.
 */
export const blockAttentionOp: Op<BlockAttentionAttrs> = {
  name: "dflash_block_attention",
  infer([q, contextK, contextV, blockK, blockV, contextRanges, blockRanges], attrs) {
    const specs = (k: Spec, v: Spec, ranges: Spec) => attentionOp.infer([q!, k, v, ranges], attrs);
    specs(contextK!, contextV!, contextRanges!);
    return specs(blockK!, blockV!, blockRanges!);
  },
  compose(run, inputs, attrs) {
    const [q, contextK, contextV, blockK, blockV, contextRanges, blockRanges] = inputs as Tensor[];
    const context = run(attentionOp, [q!, contextK!, contextV!, contextRanges!], attrs);
    const block = run(attentionOp, [q!, blockK!, blockV!, blockRanges!], attrs);
    return run(mergeOp, [...context, ...block], { headDim: attrs.headDim });
  },
  grad(run, { inputs, outputs, douts, attrs }) {
    refuseLseGradient("dflash_block_attention", douts);
    const [dout] = douts, [out, lse] = outputs as [Tensor, Tensor];
    if (!dout) return inputs.map(() => null);
    const [q, contextK, contextV, blockK, blockV, contextRanges, blockRanges] = inputs as Tensor[];
    const part = (k: Tensor, v: Tensor, ranges: Tensor) =>
      run(attentionGradOp, [q!, k, v, ranges, out, lse, dout], attrs);
    const [dqContext, ...context] = part(contextK!, contextV!, contextRanges!);
    const [dqBlock, ...block] = part(blockK!, blockV!, blockRanges!);
    return [add(run, dqContext!, dqBlock!), ...context, ...block, null, null];
  },
};

/** Keys, and which of them each row sees. */
export interface SeenKeys {
  /** f32 `[S, kvHeads·headDim]`. */
  readonly k: Tensor;
  /** f32 `[S, kvHeads·headDim]`. */
  readonly v: Tensor;
  /** i32 `[T, 2]`: first key seen, and one past the last. */
  readonly ranges: Tensor;
}

/** Attention of each row over the context and its block. */
export function blockAttention(
  run: Run,
  x: { readonly q: Tensor; readonly context: SeenKeys; readonly block: SeenKeys },
  attrs: BlockAttentionAttrs,
): Tensor {
  const { q, context, block } = x;
  const inputs = [q, context.k, context.v, block.k, block.v, context.ranges, block.ranges];
  return run(blockAttentionOp, inputs, attrs)[0]!;
}
