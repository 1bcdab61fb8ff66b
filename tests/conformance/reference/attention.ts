/** Attention, one query, head and key at a time. */
import type { AttentionAttrs } from "../../../kernels/ops/attention/mod.ts";
import { array, type HostArray } from "./array.ts";
import type { Reference } from "./types.ts";

/** Calls back for each query and head, with the offsets of the keys it sees and their probabilities. */
function walk(
  [q, k, ranges]: readonly [HostArray, HostArray, HostArray],
  attrs: AttentionAttrs,
  visit: (row: {
    query: number;
    at: number;
    keys: readonly number[];
    probabilities: readonly number[];
    lse: number;
  }) => void,
): void {
  const { heads, kvHeads, headDim, scale, diagonals = 0 } = attrs;
  const rows = q.shape[0]!, group = heads / kvHeads, first = k.shape[0]! - diagonals * rows;
  for (let t = 0; t < rows; t++) {
    const seen: number[] = [];
    for (let j = ranges.data[2 * t]!; j < ranges.data[2 * t + 1]!; j++) seen.push(j);
    for (let b = 1; b <= diagonals; b++) seen.push(first + (b - 1) * rows + t);
    for (let h = 0; h < heads; h++) {
      const at = (t * heads + h) * headDim;
      const keys = seen.map((j) => (j * kvHeads + Math.floor(h / group)) * headDim);
      const scores = keys.map((key) => {
        let dot = 0;
        for (let d = 0; d < headDim; d++) dot += q.data[at + d]! * k.data[key + d]!;
        return dot * scale;
      });
      const top = Math.max(...scores);
      const total = scores.reduce((sum, s) => sum + Math.exp(s - top), 0);
      const lse = keys.length > 0 ? top + Math.log(total) : -1e30;
      visit({
        query: t * heads + h,
        at,
        keys,
        probabilities: scores.map((s) => Math.exp(s - top) / total),
        lse,
      });
    }
  }
}

/** Output, and the logarithm of the sum of exponentials. */
export const attention: Reference<AttentionAttrs> = ([q, k, v, ranges], attrs) => {
  const out = array(q!.shape), lse = array([q!.shape[0]!, attrs.heads]);
  walk([q!, k!, ranges!], attrs, (row) => {
    lse.data[row.query] = row.lse;
    row.keys.forEach((key, i) => {
      for (let d = 0; d < attrs.headDim; d++) {
        out.data[row.at + d]! += row.probabilities[i]! * v!.data[key + d]!;
      }
    });
  });
  return [out, lse];
};

/** Gradients by q, k and v; the forward's outputs among the inputs are not looked at. */
export const attentionGrad: Reference<AttentionAttrs> = ([q, k, v, ranges, , , dout], attrs) => {
  const dq = array(q!.shape), dk = array(k!.shape), dv = array(v!.shape);
  const { headDim, scale } = attrs;
  walk([q!, k!, ranges!], attrs, ({ at, keys, probabilities }) => {
    const dots = keys.map((key) => {
      let dot = 0;
      for (let d = 0; d < headDim; d++) dot += dout!.data[at + d]! * v!.data[key + d]!;
      return dot;
    });
    const mean = dots.reduce((sum, dot, i) => sum + dot * probabilities[i]!, 0);
    keys.forEach((key, i) => {
      const p = probabilities[i]!, ds = p * (dots[i]! - mean) * scale;
      for (let d = 0; d < headDim; d++) {
        dv.data[key + d]! += p * dout!.data[at + d]!;
        dq.data[at + d]! += ds * k!.data[key + d]!;
        dk.data[key + d]! += ds * q!.data[at + d]!;
      }
    });
  });
  return [dq, dk, dv];
};
