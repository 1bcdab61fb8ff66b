/** Seeded uniform numbers, one independent stream for each tensor. */

/**
 * Fills an array from U(−bound, bound). The stream depends on seed and name only, so that a tensor's start does not
 * change when another tensor is added.
 */
export function uniform(length: number, bound: number, stream: { seed: number; name: string }): Float32Array {
  const next = generator(stream.seed, stream.name);
  const out = new Float32Array(length);
  for (let i = 0; i < length; i++) out[i] = (next() * 2 ** -31 - 1) * bound;
  return out;
}

/** xoshiro128** (Blackman and Vigna 2018), its state spread from seed and name by splitmix32. */
function generator(seed: number, name: string): () => number {
  let word = (seed >>> 0) ^ Math.imul(Math.floor(seed / 2 ** 32) >>> 0, 0x9e3779b9);
  for (let i = 0; i < name.length; i++) word = Math.imul(word ^ name.charCodeAt(i), 0x01000193);
  const spread = () => {
    word = (word + 0x9e3779b9) | 0;
    let z = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return z ^ (z >>> 15);
  };
  let [a, b, c, d] = [spread(), spread(), spread(), spread()];
  return () => {
    const scrambled = Math.imul(b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9);
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
    return result >>> 0;
  };
}
