/** Attention over pages, moves of their rows, and the largest entries of rows, by the plainest loops. */
import type { GrowPagesAttrs, PagedAttentionAttrs } from "../../../kernels/ops/paged/mod.ts";
import type { TopKAttrs } from "../../../kernels/ops/top_k/mod.ts";
import { array, type HostArray, round } from "./array.ts";
import type { Reference } from "./types.ts";

/** Output, and the logarithm of the sum of exponentials. */
export const pagedAttention: Reference<PagedAttentionAttrs> = (inputs, attrs) => {
  const [q, k, v, rows, pages, tiles] = inputs as HostArray[], { heads, kvHeads, headDim, scale } = attrs;
  const out = array(q!.shape), lse = array([q!.shape[0]!, heads]);
  for (let tile = 0; tile < tiles!.shape[0]!; tile++) {
    const [first, count, table] = tiles!.data.subarray(4 * tile) as unknown as [number, number, number];
    for (let t = first; t < first + count; t++) {
      const [low, high, ...words] = rows!.data.subarray(4 * t, 4 * t + 4) as unknown as number[];
      const seen: number[] = [];
      for (let j = low!; j < high!; j++) seen.push(j);
      words.forEach((word, i) => {
        for (let bit = 0; bit < 32; bit++) if ((word >>> bit) & 1) seen.push(high! + 32 * i + bit);
      });
      const places = seen.map((j) => 64 * pages!.data[table + Math.floor(j / 64)]! + j % 64);
      for (let h = 0; h < heads; h++) {
        const at = (t * heads + h) * headDim, kv = Math.floor(h / (heads / kvHeads));
        const keys = places.map((place) => (place * kvHeads + kv) * headDim);
        const scores = keys.map((key) => {
          let dot = 0;
          for (let d = 0; d < headDim; d++) dot += q!.data[at + d]! * k!.data[key + d]!;
          return dot * scale;
        });
        const top = Math.max(...scores);
        const total = scores.reduce((sum, s) => sum + Math.exp(s - top), 0);
        lse.data[t * heads + h] = keys.length > 0 ? top + Math.log(total) : -1e30;
        keys.forEach((key, i) => {
          const p = Math.exp(scores[i]! - top) / total;
          for (let d = 0; d < headDim; d++) out.data[at + d]! += p * v!.data[key + d]!;
        });
      }
    }
  }
  return [out, lse];
};

/** Rows written to their places in both pools. */
export const writePages: Reference = (inputs) => {
  const [poolK, poolV, k, v, places] = inputs as HostArray[], width = k!.shape[1]!;
  return [[poolK!, k!], [poolV!, v!]].map(([pool, fresh]) => {
    const data = pool!.data.slice();
    places!.data.forEach((place, t) => {
      for (let i = 0; i < width; i++) {
        data[place * width + i] = round(fresh!.data[t * width + i]!, pool!.dtype);
      }
    });
    return { ...pool!, data };
  });
};

/** Rows copied within both pools, one after the other. */
export const keepPages: Reference = (inputs) => {
  const [poolK, poolV, places] = inputs as HostArray[], width = poolK!.shape[1]!, moves = places!.shape[1]!;
  return [poolK!, poolV!].map((pool) => {
    const data = pool.data.slice();
    for (let i = 0; i < moves; i++) {
      const from = places!.data[i]! * width;
      data.copyWithin(places!.data[moves + i]! * width, from, from + width);
    }
    return { ...pool, data };
  });
};

/** The pages there were; those behind them are taken as zeros. */
export const growPages: Reference<GrowPagesAttrs> = ([x], { pages }) => {
  const width = x!.shape[1]!, data = new Float64Array(64 * pages * width);
  data.set(x!.data);
  return [{ shape: [64 * pages, width], dtype: x!.dtype, data }];
};

/** The largest entries of each row as logarithms of their softmax, and their places. */
export const topK: Reference<TopKAttrs> = ([x], { count }) => {
  const [rows, width] = x!.shape as [number, number];
  const out = array([rows, count]), places = array([rows, count], undefined, "i32");
  for (let t = 0; t < rows; t++) {
    const row = Array.from(x!.data.subarray(t * width, (t + 1) * width));
    const order = row.map((_, i) => i).sort((a, b) => row[b]! - row[a]! || a - b);
    const top = row[order[0]!]!;
    const lse = top + Math.log(row.reduce((sum, value) => sum + Math.exp(value - top), 0));
    for (let i = 0; i < count; i++) {
      out.data[t * count + i] = row[order[i]!]! - lse;
      places.data[t * count + i] = order[i]!;
    }
  }
  return [out, places];
};
