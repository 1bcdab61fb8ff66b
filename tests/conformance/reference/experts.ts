/** Mixtures of experts, attention sinks, the clamped gate. */
import { EXPERT_TILE, planTiles } from "../../../kernels/ops/experts/mod.ts";
import type { ExpertLinearAttrs, ExpertPlanAttrs, RouteAttrs } from "../../../kernels/ops/experts/mod.ts";
import type { ClampedSwigluAttrs } from "../../../kernels/ops/swiglu/mod.ts";
import { array, type HostArray } from "./array.ts";
import type { Reference } from "./types.ts";

/** The largest logits of each row, and their shares. */
export const route: Reference<RouteAttrs> = ([logits], { count, overAll = false }) => {
  const [rows, experts] = logits!.shape as [number, number];
  const chosen = array([rows, count], undefined, "i32"), weights = array([rows, count]);
  for (let t = 0; t < rows; t++) {
    const row = Array.from(logits!.data.subarray(t * experts, (t + 1) * experts));
    const best = row.map((_, i) => i).sort((a, b) => row[b]! - row[a]! || a - b).slice(0, count);
    const exponentials = (overAll ? row : best.map((e) => row[e]!)).map((x) => Math.exp(x - row[best[0]!]!));
    const total = exponentials.reduce((sum, x) => sum + x, 0);
    best.forEach((e, k) => {
      chosen.data[t * count + k] = e;
      weights.data[t * count + k] = Math.exp(row[e]! - row[best[0]!]!) / total;
    });
  }
  return [chosen, weights];
};

/** Rows in the order of their experts, and their tiles. */
export const expertPlan: Reference<ExpertPlanAttrs> = ([chosen], { experts }) => {
  const rows = chosen!.data.length, tiles = planTiles(rows, experts);
  const out = array([rows + 3 * tiles], undefined, "i32");
  let at = 0, tile = rows;
  for (let e = 0; e < experts; e++) {
    const mine = [...chosen!.data.keys()].filter((row) => chosen!.data[row] === e);
    for (let i = 0; i < mine.length; i += EXPERT_TILE, tile += 3) {
      out.data.set([e, at + i, Math.min(EXPERT_TILE, mine.length - i)], tile);
    }
    out.data.set(mine, at);
    at += mine.length;
  }
  return [out];
};

const E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6];

/** The weights of the experts as numbers, `[E, out, in]`. */
function widened(
  inputs: readonly HostArray[],
  inputFirst: boolean,
): (e: number, n: number, k: number) => number {
  const weight = inputs[2]!, [, p = 0, q = 0] = weight.shape;
  if (weight.dtype !== "u8") {
    return (e, n, k) => weight.data[inputFirst ? (e * p + k) * q + n : (e * p + n) * q + k]!;
  }
  return (e, n, k) => {
    const block = (e * p + n) * q + Math.floor(k / 32),
      byte = weight.data[16 * block + Math.floor(k % 32 / 2)]!;
    const code = k % 2 === 0 ? byte & 15 : byte >> 4;
    return (code > 7 ? -1 : 1) * E2M1[code & 7]! * 2 ** (inputs[3]!.data[block]! - 127);
  };
}

/** Each row times the weight of its expert. */
export const expertLinear: Reference<ExpertLinearAttrs> = (inputs, attrs) => {
  const { repeat, inputFirst = false, bias = false } = attrs, [x, plan, weight] = inputs;
  const [given, depth] = x!.shape as [number, number], rows = given * repeat;
  const columns = weight!.shape[inputFirst ? 2 : 1]!, at = widened(inputs, inputFirst);
  const out = array([rows, columns]);
  for (let tile = rows; tile < plan!.data.length; tile += 3) {
    const [e, first, count] = plan!.data.subarray(tile, tile + 3) as unknown as [number, number, number];
    for (const row of plan!.data.subarray(first, first + count)) {
      for (let n = 0; n < columns; n++) {
        let sum = bias ? inputs.at(-1)!.data[e * columns + n]! : 0;
        for (let k = 0; k < depth; k++) sum += x!.data[Math.floor(row / repeat) * depth + k]! * at(e, n, k);
        out.data[row * columns + n] = sum;
      }
    }
  }
  return [out];
};

/** Rows plus the weighted sum of what belongs to them. */
export const mix: Reference = ([rows, y, weights]) => {
  const [t, width] = rows!.shape as [number, number], count = weights!.shape[1]!;
  const out = array(rows!.shape, rows!.data);
  for (let choice = 0; choice < t * count; choice++) {
    for (let i = 0; i < width; i++) {
      out.data[Math.floor(choice / count) * width + i]! += weights!.data[choice]! *
        y!.data[choice * width + i]!;
    }
  }
  return [out];
};

/** `x · σ(lse − sink)`. */
export const sinks: Reference = ([x, lse, sinks]) => {
  const heads = sinks!.data.length, dim = x!.shape[1]! / heads;
  const factor = (run: number) => 1 / (1 + Math.exp(sinks!.data[run % heads]! - lse!.data[run]!));
  return [array(x!.shape, x!.data.map((value, i) => value * factor(Math.floor(i / dim))))];
};

/** `(up + 1) · gate · σ(alpha · gate)`, clamped. */
export const clampedSwiglu: Reference<ClampedSwigluAttrs> = ([x], { alpha, limit }) => {
  const [rows, width] = x!.shape as [number, number], out = array([rows, width / 2]);
  out.data.forEach((_, i) => {
    const gate = Math.min(x!.data[2 * i]!, limit);
    const up = Math.max(-limit, Math.min(x!.data[2 * i + 1]!, limit));
    out.data[i] = (up + 1) * gate / (1 + Math.exp(-alpha * gate));
  });
  return [out];
};
