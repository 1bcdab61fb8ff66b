/**
 * Attention of several sequences at once over keys and values that lie in pages of one pool (Kwon et al. 2023, arXiv
 * 2309.06180), where new rows may be a tree: a row then sees its ancestors, not its siblings (Miao et al. 2023, arXiv
 * 2305.09781). For decoding: it has no gradient.
 */
import { ShapeError } from "../../../core/errors.ts";
import type { DType, Op, Run, Spec, Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasm, wasmGrow, wasmKeep, wasmWrite } from "./wasm.ts";
import { wgsl, wgslGrow, wgslKeep, wgslWrite } from "./wgsl.ts";

/** Rows of a page. */
export const PAGE_ROWS = 64;
/** Rows that a tree may have: a row says in 64 bits which of them it sees. */
export const MOST_BRANCH_ROWS = 64;
/** Queries times the heads that share a key head, in a tile. */
export const TILE_ROWS = 64;
/** Dtypes of a pool. */
const POOL_DTYPES: readonly DType[] = ["f32", "bf16"];

/** Attributes of {@linkcode pagedAttentionOp}. */
export interface PagedAttentionAttrs {
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads: head h of the queries reads head `h / (heads / kvHeads)` of these. */
  readonly kvHeads: number;
  /** Entries of one head. */
  readonly headDim: number;
  /** Factor of the scores, usually `1 / sqrt(headDim)`. */
  readonly scale: number;
  /** Keys of the longest sequence, those of this pass included: how the work is cut where many can share it. */
  readonly longest: number;
}

function pools(op: string, k: Spec, v: Spec, width: number): void {
  for (const [name, spec] of [["k", k], ["v", v]] as const) check.dtype(op, name, spec, POOL_DTYPES);
  check.shape(op, "k", k, [-1, width]);
  check.shape(op, "v", v, k.shape);
  check.dtype(op, "v", v, [k.dtype]);
  if (k.shape[0]! % PAGE_ROWS !== 0) {
    throw new ShapeError(op, `expected whole pages of ${PAGE_ROWS} rows, received ${k.shape[0]} rows`);
  }
}

/**
 * q f32 `[T, heads·headDim]`; pools of keys and values f32 or bf16 `[64·P, kvHeads·headDim]`; rows i32 `[T, 4]`; pages i32
 * `[E]`; tiles i32 `[n, 4]` → out like q, lse f32 `[T, heads]`.
 *
 * Key j of a sequence is row `64·pages[b + ⌊j/64⌋] + j mod 64` of the pools. Row t sees keys `rows[t][0] ≤ j < rows[t][1]`, and
 * key `rows[t][1] + i` for each set bit i of the 64 in `rows[t][2]` (low) and `rows[t][3]`. A tile is neighbouring queries of
 * one sequence: its first row, how many there are (times `heads/kvHeads` at most 64, or one), b, and 1 where the sequence
 * brings so many rows at once (a prompt) that a row need not come out bit for bit as it would alone.
 */
export const pagedAttentionOp: Op<PagedAttentionAttrs> = {
  name: "paged_attention",
  infer(inputs, { heads, kvHeads, headDim }) {
    const op = "paged_attention";
    const [q, k, v, rows, pages, tiles] = [0, 1, 2, 3, 4, 5].map((i) => check.input(op, inputs, i));
    if (heads <= 0 || kvHeads <= 0 || heads % kvHeads !== 0) {
      throw new ShapeError(op, `expected heads as a multiple of kvHeads, received ${heads} and ${kvHeads}`);
    }
    check.dtype(op, "q", q!, ["f32"]);
    check.shape(op, "q", q!, [-1, heads * headDim]);
    pools(op, k!, v!, kvHeads * headDim);
    for (const [name, spec] of [["rows", rows!], ["pages", pages!], ["tiles", tiles!]] as const) {
      check.dtype(op, name, spec, ["i32"]);
    }
    check.shape(op, "rows", rows!, [q!.shape[0]!, 4]);
    check.shape(op, "pages", pages!, [-1]);
    check.shape(op, "tiles", tiles!, [-1, 4]);
    return [q!, { shape: [q!.shape[0]!, heads], dtype: "f32" }];
  },
  wgsl,
  wasm,
};

/** (pool of keys, pool of values, k, v f32 `[T, H]`, places i32 `[T]`): row t goes to that row of each pool, in place. */
export const writePagesOp: Op<Record<never, never>> = {
  name: "write_pages",
  alias: { 0: 0, 1: 1 },
  infer(inputs) {
    const op = "write_pages";
    const [poolK, poolV, k, v, places] = [0, 1, 2, 3, 4].map((i) => check.input(op, inputs, i));
    const [rows, width] = check.matrix(op, "k", k!);
    check.dtype(op, "k", k!, ["f32"]);
    check.dtype(op, "v", v!, ["f32"]);
    check.shape(op, "v", v!, k!.shape);
    pools(op, poolK!, poolV!, width);
    if (poolK!.dtype === "bf16" && width % 2 !== 0) {
      throw new ShapeError(op, `expected rows of an even number of entries in bf16, received ${width}`);
    }
    check.dtype(op, "places", places!, ["i32"]);
    check.shape(op, "places", places!, [rows]);
    return [poolK!, poolV!];
  },
  wgsl: wgslWrite,
  wasm: wasmWrite,
};

/** (pool of keys, pool of values, places i32 `[2, n]`): row `places[0][i]` is copied over row `places[1][i]`, in this order. */
export const keepPagesOp: Op<Record<never, never>> = {
  name: "keep_pages",
  alias: { 0: 0, 1: 1 },
  infer(inputs) {
    const op = "keep_pages", [k, v, places] = [0, 1, 2].map((i) => check.input(op, inputs, i));
    const [, width] = check.matrix(op, "k", k!);
    pools(op, k!, v!, width);
    if (k!.dtype === "bf16" && width % 2 !== 0) {
      throw new ShapeError(op, `expected rows of an even number of entries in bf16, received ${width}`);
    }
    check.dtype(op, "places", places!, ["i32"]);
    check.shape(op, "places", places!, [2, -1]);
    return [k!, v!];
  },
  wgsl: wgslKeep,
  wasm: wasmKeep,
};

/** Attributes of {@linkcode growPagesOp}. */
export interface GrowPagesAttrs {
  /** Pages of the new pool, at least as many as the old one's. */
  readonly pages: number;
}

/** A larger pool that begins with the pages of `x` `[64·P, H]`; the others hold anything. */
export const growPagesOp: Op<GrowPagesAttrs> = {
  name: "grow_pages",
  infer(inputs, { pages }) {
    const x = check.input("grow_pages", inputs, 0), [rows, width] = check.matrix("grow_pages", "x", x);
    pools("grow_pages", x, x, width);
    if (pages * PAGE_ROWS < rows) {
      throw new ShapeError("grow_pages", `expected room for ${rows} rows, received ${pages} pages`);
    }
    return [{ shape: [pages * PAGE_ROWS, width], dtype: x.dtype }];
  },
  wgsl: wgslGrow,
  wasm: wasmGrow,
};

/** What {@linkcode pagedAttention} attends over; see {@linkcode pagedAttentionOp}. */
export interface PagedInputs {
  /** f32 `[T, heads·headDim]`. */
  readonly q: Tensor;
  /** The pool of keys. */
  readonly k: Tensor;
  /** The pool of values. */
  readonly v: Tensor;
  /** i32 `[T, 4]`. */
  readonly rows: Tensor;
  /** i32 `[E]`. */
  readonly pages: Tensor;
  /** i32 `[n, 4]`. */
  readonly tiles: Tensor;
}

/** Attention over pages: the output, and the logarithm of each query's sum of exponentials. */
export function pagedAttention(
  run: Run,
  x: PagedInputs,
  attrs: PagedAttentionAttrs,
): { readonly out: Tensor; readonly lse: Tensor } {
  const [out, lse] = run(pagedAttentionOp, [x.q, x.k, x.v, x.rows, x.pages, x.tiles], attrs);
  return { out: out!, lse: lse! };
}
