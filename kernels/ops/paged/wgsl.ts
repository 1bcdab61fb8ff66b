/** Attention over pages on WebGPU. */
import {
  byteLength,
  BYTES,
  type Spec,
  type WgslBinding,
  type WgslLimits,
  type WgslPass,
} from "../../../core/tensor.ts";
import { f32, inputWindow, outputWindow, perElement, runs, u32, window } from "../_wgsl.ts";
import { attendCode, GROUP_ROWS, joinCode } from "./_attend.ts";
import { PAGE_ROWS, type PagedAttentionAttrs, TILE_ROWS } from "./mod.ts";
import copyCode from "../copy/copy.wgsl" with { type: "text" };
import { KEEP_CODE, writeCode } from "./_rows.ts";

/** Keys of a part: always the same, so that a row's sums do not depend on how much else there is to do. */
const SPAN = 512;

/** (q, k, v, rows, pages, tiles) → (out, lse). */
export function wgsl(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  attrs: PagedAttentionAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const { heads, kvHeads, headDim: dim, scale, longest } = attrs, [q, k, , , pages, tiles] = inputs;
  const queries = q!.shape[0]!, count = tiles!.shape[0]!, group = heads / kvHeads;
  if (queries * count * dim === 0) return [];
  const bytes = (keys: number) => 4 * (GROUP_ROWS * dim + keys * dim + GROUP_ROWS * keys + 16);
  let keys = 32;
  while (keys > 8 && bytes(keys) > limits.maxWorkgroupStorage) keys /= 2;
  const parts = Math.ceil(Math.max(TILE_ROWS, group) / GROUP_ROWS);
  const splits = Math.max(1, Math.ceil(longest / SPAN)), rows = queries * heads;
  const partial: WgslBinding = { scratch: "parts", bytes: 4 * splits * rows * dim };
  const sums: WgslBinding = { scratch: "sums", bytes: 8 * splits * rows };
  const params = [
    ...[queries, pages!.shape[0]!, k!.shape[0]! / PAGE_ROWS, parts, SPAN, splits].map(u32),
    f32(scale),
  ];
  return [{
    code: attendCode({ dim, heads, kvHeads, dtype: k!.dtype, keys }),
    bind: [...[0, 1, 2, 3, 4, 5].map((input) => ({ input })), partial, sums],
    params,
    grid: [count * parts, kvHeads, splits],
  }, {
    code: joinCode({ dim, heads }),
    bind: [partial, sums, { output: 0 }, { output: 1 }],
    params,
    grid: perElement(rows * dim),
  }];
}

function wordsOf(pool: Spec): number {
  return pool.shape[1]! * BYTES[pool.dtype] / 4;
}

/** (pool of keys, pool of values, k, v, places) → the pools. */
export function wgslWrite(inputs: readonly Spec[]): WgslPass[] {
  const pool = inputs[0]!, words = wordsOf(pool), count = inputs[2]!.shape[0]! * words;
  return [{
    code: writeCode(pool.dtype),
    bind: [{ output: 0 }, { output: 1 }, { input: 2 }, { input: 3 }, { input: 4 }],
    params: [count, words, pool.shape[0]!].map(u32),
    grid: perElement(count),
  }];
}

/** (pool of keys, pool of values, places) → the pools. */
export function wgslKeep(inputs: readonly Spec[]): WgslPass[] {
  const pool = inputs[0]!, words = wordsOf(pool);
  return [{
    code: KEEP_CODE,
    bind: [{ output: 0 }, { output: 1 }, { input: 2 }],
    params: [words, inputs[2]!.shape[1]!, pool.shape[0]!].map(u32),
    grid: perElement(words),
  }];
}

/** x → a larger pool. */
export function wgslGrow(
  [x]: readonly Spec[],
  _outputs: readonly Spec[],
  _attrs: object,
  limits: WgslLimits,
): WgslPass[] {
  return runs(byteLength(x!) / 4, 4, limits.maxBinding).map(({ start, count }) => {
    const part = window(start, count, 4);
    return {
      code: copyCode,
      bind: [inputWindow(0, part), outputWindow(0, part)],
      params: [1, count, part.shift, count, part.shift, count].map(u32),
      grid: perElement(count),
    };
  });
}
