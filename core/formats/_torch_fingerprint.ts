/**
 * The fingerprint that torch puts into an archive (`.data/serialization_id`): 20 digits of its records' names, 20 of
 * their checksums. Computed as torch computes it, so that equal values make files equal to torch's own.
 *
 * @module
 */

const MASK = 0xffff_ffff_ffff_ffffn;
const MULTIPLIER = 0xc6a4a7935bd1e995n;
/** Sizes that a C++ hash table takes as it grows: primes, each about twice the one before. */
const TABLE_SIZES: readonly number[] = [
  13,
  29,
  59,
  127,
  257,
  541,
  1109,
  2357,
  5087,
  10273,
  20753,
  42043,
  85229,
];

/** @param records names without the archive's folder, with CRC-32 (0 for an empty one), in the order written */
export function fingerprint(records: readonly (readonly [string, number])[]): string {
  let sums = 0n;
  for (const [, crc] of records) {
    // Torch computes no checksum of an empty record.
    if (crc !== 0) sums = combine(sums, BigInt(crc));
  }
  let names = 0n;
  for (const hash of tableOrder(records.map(([name]) => murmur(new TextEncoder().encode(name))))) {
    names = combine(names, hash);
  }
  return String(names).padStart(20, "0") + String(sums).padStart(20, "0");
}

function combine(seed: bigint, value: bigint): bigint {
  return seed ^ ((value + 0x9e3779b9n + (seed << 6n) + (seed >> 2n)) & MASK);
}

/**
 * The order in which a C++ hash table of strings is walked: the latest bucket first, in it the latest entry first,
 * all of them entered anew in that order whenever it grows.
 */
function tableOrder(hashes: readonly bigint[]): readonly bigint[] {
  let entered: bigint[] = [];
  let size = 1;
  for (const hash of hashes) {
    if (entered.length === (size === 1 ? 0 : size)) {
      entered = walk(entered, size);
      size = TABLE_SIZES.find((larger) => larger > size) ?? Infinity;
    }
    entered.push(hash);
  }
  return walk(entered, size);
}

function walk(entered: readonly bigint[], size: number): bigint[] {
  const buckets = new Map<bigint, bigint[]>();
  for (const hash of entered) {
    const bucket = size === Infinity ? hash : hash % BigInt(size);
    const list = buckets.get(bucket);
    if (list === undefined) buckets.set(bucket, [hash]);
    else list.push(hash);
  }
  return [...buckets.values()].reverse().flatMap((list) => list.reverse());
}

/** MurmurHash64A as the GNU C++ library has it. Source: https://github.com/aappleby/smhasher (MurmurHash2). */
function murmur(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const whole = bytes.length & ~7;
  let hash = (0xc70f6907n ^ (BigInt(bytes.length) * MULTIPLIER)) & MASK;
  for (let at = 0; at < whole; at += 8) {
    const word = (mix((view.getBigUint64(at, true) * MULTIPLIER) & MASK) * MULTIPLIER) & MASK;
    hash = ((hash ^ word) * MULTIPLIER) & MASK;
  }
  if (whole < bytes.length) {
    let word = 0n;
    for (let at = bytes.length - 1; at >= whole; at--) word = (word << 8n) | BigInt(bytes[at]!);
    hash = ((hash ^ word) * MULTIPLIER) & MASK;
  }
  return mix((mix(hash) * MULTIPLIER) & MASK);
}

function mix(value: bigint): bigint {
  return value ^ (value >> 47n);
}
