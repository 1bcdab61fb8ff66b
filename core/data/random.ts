/**
 * numpy's and Python's generators of random permutations, bit for bit: the order of samples, batches and splits is
 * the Python system's for the same seed.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";

const MASK_64 = (1n << 64n) - 1n;
const MASK_128 = (1n << 128n) - 1n;
/** Multiplier of PCG64's linear congruential step (O'Neill 2014, as numpy has it). */
const PCG_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645n;

/** Longest permutation; indices are drawn as 32-bit numbers. */
const MAX_PERMUTATION = 2 ** 31;

/**
 * `numpy.random.default_rng(seed).permutation(n)`.
 *
 * @throws {ConfigError} when the seed is negative or no integer, or `n` is too large
 */
export function numpyPermutation(n: number, seed: number | bigint): Int32Array {
  if (!Number.isInteger(n) || n < 0 || n > MAX_PERMUTATION) {
    throw new ConfigError("permutation", `expected a length from 0 to ${MAX_PERMUTATION}, received ${n}`);
  }
  const next = pcg32(seed);
  const order = new Int32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  for (let i = n - 1; i > 0; i--) {
    // Smallest 2^k − 1 that covers i; draws above i are thrown away.
    const mask = (2 ** (32 - Math.clz32(i)) - 1) >>> 0;
    let j = (next() & mask) >>> 0;
    while (j > i) j = (next() & mask) >>> 0;
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
  return order;
}

/** Python's `random` module after `random.seed(seed)`. */
export class PythonRandom {
  readonly #state = new Uint32Array(624);
  #index = 624;

  /**
   * Seeds the Mersenne twister as Python does: by the 32-bit words of |seed|, low word first.
   *
   * @throws {ConfigError} when the seed is no integer
   */
  constructor(seed: number | bigint) {
    const value = seedValue(seed);
    const key = words(value < 0n ? -value : value);
    const state = this.#state;
    state[0] = 19650218;
    for (let i = 1; i < 624; i++) {
      const s = state[i - 1]! ^ (state[i - 1]! >>> 30);
      state[i] = Math.imul(1812433253, s) + i;
    }
    let i = 1;
    let j = 0;
    for (let k = Math.max(624, key.length); k > 0; k--) {
      const s = state[i - 1]! ^ (state[i - 1]! >>> 30);
      state[i] = (state[i]! ^ Math.imul(s, 1664525)) + key[j]! + j;
      if (++i === 624) {
        state[0] = state[623]!;
        i = 1;
      }
      if (++j === key.length) j = 0;
    }
    for (let k = 623; k > 0; k--) {
      const s = state[i - 1]! ^ (state[i - 1]! >>> 30);
      state[i] = (state[i]! ^ Math.imul(s, 1566083941)) - i;
      if (++i === 624) {
        state[0] = state[623]!;
        i = 1;
      }
    }
    state[0] = 0x80000000;
  }

  /** An integer of [0, m), m of 32 bits at most: `random._randbelow`. */
  below(m: number): number {
    if (m <= 1) return 0;
    const shift = Math.clz32(m);
    let drawn = this.#next() >>> shift;
    while (drawn >= m) drawn = this.#next() >>> shift;
    return drawn;
  }

  /** An integer of [low, high]: `random.randint`. */
  integer(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** A float of [0, 1) with 53 random bits: `random.random`. */
  float(): number {
    const high = this.#next() >>> 5;
    const low = this.#next() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  /** Shuffles in place: `random.shuffle`. */
  shuffle<T>(items: T[]): void {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const kept = items[i]!;
      items[i] = items[j]!;
      items[j] = kept;
    }
  }

  #next(): number {
    const state = this.#state;
    if (this.#index >= 624) {
      for (let i = 0; i < 624; i++) {
        const y = (state[i]! & 0x80000000) | (state[(i + 1) % 624]! & 0x7fffffff);
        state[i] = state[(i + 397) % 624]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.#index = 0;
    }
    let y = state[this.#index++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }
}

/** 32-bit draws of PCG64 XSL-RR: the low half of an output first, then its high half. */
function pcg32(seed: number | bigint): () => number {
  const w = seedSequence(seed);
  const increment = ((((w[2]! << 64n) | w[3]!) << 1n) | 1n) & MASK_128;
  let state = 0n;
  const step = () => state = (state * PCG_MULTIPLIER + increment) & MASK_128;
  step();
  state = (state + ((w[0]! << 64n) | w[1]!)) & MASK_128;
  step();
  let kept = -1;
  return () => {
    if (kept >= 0) {
      const high = kept;
      kept = -1;
      return high;
    }
    step();
    const folded = ((state >> 64n) ^ state) & MASK_64;
    const rotation = state >> 122n;
    const out = ((folded >> rotation) | (folded << (64n - rotation))) & MASK_64;
    kept = Number(out >> 32n);
    return Number(out & 0xffffffffn);
  };
}

/** The first four 64-bit words of numpy's `SeedSequence(seed)`. */
function seedSequence(seed: number | bigint): bigint[] {
  const value = seedValue(seed);
  if (value < 0n) throw new ConfigError("seed", `expected an integer of at least 0, received ${seed}`);
  const entropy = words(value);
  let a = 0x43b0d7e5;
  const hash = (v: number) => {
    v ^= a;
    a = Math.imul(a, 0x931e8875);
    v = Math.imul(v, a);
    return (v ^ (v >>> 16)) >>> 0;
  };
  const mix = (x: number, y: number) => {
    const r = (Math.imul(x, 0xca01f9dd) - Math.imul(y, 0x4973f715)) >>> 0;
    return (r ^ (r >>> 16)) >>> 0;
  };
  const pool = [0, 1, 2, 3].map((i) => hash(entropy[i] ?? 0));
  for (let s = 0; s < 4; s++) {
    for (let d = 0; d < 4; d++) if (s !== d) pool[d] = mix(pool[d]!, hash(pool[s]!));
  }
  for (const word of entropy.slice(4)) {
    for (let d = 0; d < 4; d++) pool[d] = mix(pool[d]!, hash(word));
  }
  let b = 0x8b51f9dd;
  const out: number[] = [];
  for (let i = 0; i < 8; i++) {
    let v = pool[i % 4]! ^ b;
    b = Math.imul(b, 0x58f38ded);
    v = Math.imul(v, b);
    out.push((v ^ (v >>> 16)) >>> 0);
  }
  return [0, 2, 4, 6].map((i) => BigInt(out[i]!) | (BigInt(out[i + 1]!) << 32n));
}

/** 32-bit words, low first; zero is one word. */
function words(value: bigint): number[] {
  const list: number[] = [];
  do {
    list.push(Number(value & 0xffffffffn));
    value >>= 32n;
  } while (value > 0n);
  return list;
}

function seedValue(seed: number | bigint): bigint {
  if (typeof seed === "number" && !Number.isSafeInteger(seed)) {
    throw new ConfigError("seed", `expected an integer, received ${seed}`);
  }
  return BigInt(seed);
}
