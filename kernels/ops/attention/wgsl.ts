/** Attention on WebGPU. */
import type { Spec, WgslBinding, WgslLimits, WgslParam, WgslPass } from "../../../core/tensor.ts";
import { f32, perElement, u32 } from "../_wgsl.ts";
import { boundsCode, diagonalGradCode, keyGradCode, queryGradCode } from "./_backward.ts";
import { forwardCode, joinCode } from "./_forward.ts";
import { type Tiles, tilesFor } from "./_tiles.ts";
import type { AttentionAttrs } from "./mod.ts";

function sizesOf(
  [q, k]: readonly Spec[],
  attrs: AttentionAttrs,
): { queries: number; keys: number; params: WgslParam[] } {
  const queries = q!.shape[0]!, diagonals = attrs.diagonals ?? 0;
  const keys = k!.shape[0]! - diagonals * queries;
  return {
    queries,
    keys,
    params: [u32(queries), u32(keys), u32(diagonals), f32(attrs.scale), u32(keys), u32(1)],
  };
}

function rowTiles({ group, rows }: Tiles, queries: number): number {
  return Math.ceil(queries * group / rows);
}

/** Keys that a part of a split has at least. */
const LEAST_SPAN = 256;
/** Workgroups that keep a GPU busy. */
const ENOUGH = 128;

/** Into how many parts the keys are split, so that few queries with many keys do not leave most of a GPU idle. */
function splitsOf(keys: number, workgroups: number): number {
  if (workgroups === 0) return 1;
  return Math.max(1, Math.min(Math.floor(keys / LEAST_SPAN), Math.floor(ENOUGH / workgroups)));
}

/** Output and normalisers of every query. */
export function wgsl(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  attrs: AttentionAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const { queries, keys, params } = sizesOf(inputs, attrs);
  const tiles = tilesFor(attrs, limits, { rows: 1, keys: 1 });
  const [q, k, v, ranges] = [0, 1, 2, 3].map((input) => ({ input }));
  const [out, lse] = [0, 1].map((output) => ({ output }));
  const count = rowTiles(tiles, queries), splits = splitsOf(keys, count * attrs.kvHeads);
  if (splits === 1) {
    return [{
      code: forwardCode(tiles, false),
      bind: [q!, k!, v!, ranges!, out!, lse!],
      params,
      grid: [count, attrs.kvHeads, 1],
    }];
  }
  const span = Math.ceil(keys / splits), rows = queries * attrs.heads;
  const parts: WgslBinding = { scratch: "parts", bytes: 4 * splits * rows * attrs.headDim };
  const sums: WgslBinding = { scratch: "sums", bytes: 8 * splits * rows };
  const split = [...params.slice(0, 4), u32(span), u32(splits)];
  return [{
    code: forwardCode(tiles, true),
    bind: [q!, k!, v!, ranges!, parts, sums],
    params: split,
    grid: [count, attrs.kvHeads, splits],
  }, {
    code: joinCode(tiles),
    bind: [parts, sums, out!, lse!],
    params: split,
    grid: perElement(rows * attrs.headDim),
  }];
}

/** Gradients by queries, keys and values. */
export function wgslGrad(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  attrs: AttentionAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const { queries, keys, params } = sizesOf(inputs, attrs), diagonals = attrs.diagonals ?? 0;
  const tiles = tilesFor(attrs, limits, { rows: 2, keys: 2 }), count = rowTiles(tiles, queries);
  const bounds: WgslBinding = { scratch: "bounds", bytes: Math.max(8, 8 * count) };
  const cells = Math.max(1, queries * attrs.heads);
  const side: WgslBinding = { scratch: "side", bytes: 4 * cells * (1 + 2 * diagonals) };
  const [q, k, v, ranges, out, lse, dout] = [0, 1, 2, 3, 4, 5, 6].map((input) => ({ input }));
  const [dq, dk, dv] = [0, 1, 2].map((output) => ({ output }));
  return [
    { code: boundsCode(tiles), bind: [ranges!, bounds], params, grid: [Math.ceil(count / 64), 1, 1] },
    {
      code: queryGradCode(tiles),
      bind: [q!, k!, v!, ranges!, out!, lse!, dout!, bounds, dq!, side],
      params,
      grid: [count, attrs.kvHeads, 1],
    },
    {
      code: keyGradCode(tiles),
      bind: [q!, k!, v!, ranges!, lse!, dout!, bounds, side, dk!, dv!],
      params,
      grid: [Math.ceil(keys / tiles.keys), attrs.kvHeads, 1],
    },
    {
      code: diagonalGradCode(tiles),
      bind: [q!, dout!, side, dk!, dv!],
      params,
      grid: perElement(diagonals * queries * attrs.kvHeads * attrs.headDim),
    },
  ];
}
