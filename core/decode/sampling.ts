/**
 * From logits to a token: temperature, top-k, top-p.
 *
 * @module
 */

/** How tokens are drawn. */
export interface Sampling {
  /** 0 takes the most likely token; larger is more random. */
  readonly temperature: number;
  /** Keep the most likely tokens whose probabilities sum to at least this; 1 keeps all. */
  readonly topP?: number;
  /** Keep this many of the most likely tokens; 0 keeps all. */
  readonly topK?: number;
}

/** Draws numbers in [0, 1). */
export type Uniform = () => number;

/**
 * Probabilities of the next token after temperature, then top-k, then top-p (the order of vLLM and transformers). Of
 * equals the lower id is kept first.
 *
 * @param logits f32 `[V]`
 */
export function probabilities(logits: Float32Array, sampling: Sampling): Float64Array {
  const { temperature, topP = 1, topK = 0 } = sampling;
  const size = logits.length, p = new Float64Array(size);
  let max = -Infinity;
  for (const x of logits) if (x > max) max = x;
  let sum = 0;
  for (let i = 0; i < size; i++) sum += p[i] = Math.exp((logits[i]! - max) / temperature);
  for (let i = 0; i < size; i++) p[i]! /= sum;
  const limitK = topK > 0 && topK < size;
  if (!limitK && topP >= 1) return p;
  const order = Array.from(p, (_, i) => i).sort((a, b) => p[b]! - p[a]! || a - b);
  let keep = limitK ? topK : size;
  if (topP < 1) {
    const whole = order.slice(0, keep).reduce((all, i) => all + p[i]!, 0);
    let mass = 0, n = 0;
    while (n < keep && mass < topP * whole) mass += p[order[n++]!]!;
    keep = Math.max(1, n);
  }
  const kept = new Float64Array(size);
  const total = order.slice(0, keep).reduce((all, i) => all + p[i]!, 0);
  for (const i of order.slice(0, keep)) kept[i] = p[i]! / total;
  return kept;
}

/** Draws an index by its weight; the weights need not sum to 1. */
export function draw(weights: Float64Array, uniform: Uniform): number {
  let total = 0;
  for (const w of weights) total += w;
  let left = uniform() * total, last = 0;
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i]!;
    if (w <= 0) continue;
    last = i;
    if ((left -= w) < 0) return i;
  }
  return last; // rounding left a crumb
}
