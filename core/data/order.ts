/**
 * In which order the records of data sets are worked.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { numpyPermutation } from "./random.ts";

/** Records of several sources in one order. Six bytes a record: a data set of millions fits in memory. */
export interface RecordOrder {
  /** How many. */
  readonly length: number;
  /** Place of the first one in the order that this is a shard of. */
  readonly first: number;
  /** Of which source the record at a place is. */
  source(place: number): number;
  /** Its number in that source. */
  record(place: number): number;
}

/** How records are ordered. */
export interface OrderOptions {
  /** Seed of the shuffle of each source. */
  readonly seed: number;
  /** Most records; all unless given. */
  readonly limit?: number;
  /** Shares of the sources. Where given, sources are mixed, else one comes after the other. */
  readonly weights?: readonly number[];
  /** One part of several of about the same size, from 0. */
  readonly shard?: { readonly index: number; readonly count: number };
}

/**
 * Orders records: each source is shuffled as upstream does; then one comes after the other, or they are mixed evenly by
 * weight until the first of them is used up, so that the shares hold throughout.
 *
 * Shards are stretches of this order: put one after the other they are the whole.
 *
 * @param counts records of each source
 * @throws {ConfigError} when a shard is not one of its number
 */
export function orderRecords(counts: readonly number[], options: OrderOptions): RecordOrder {
  const { limit = Infinity, seed, shard, weights } = options;
  if (shard && !(Number.isInteger(shard.index) && shard.index >= 0 && shard.index < shard.count)) {
    throw new ConfigError("shard", `expected a part from 1 to ${shard.count}, received ${shard.index + 1}`);
  }
  const shuffled = counts.map((count) => numpyPermutation(count, seed));
  const turns = weights ? mixed(counts, weights) : inTurn(counts);
  const all = Math.min(turns.length, limit);
  const from = shard ? Math.floor(all * shard.index / shard.count) : 0;
  const to = shard ? Math.floor(all * (shard.index + 1) / shard.count) : all;
  const records = new Int32Array(to - from), taken = counts.map(() => 0);
  for (let i = 0; i < to; i++) {
    const source = turns[i]!, record = shuffled[source]![taken[source]!++]!;
    if (i >= from) records[i - from] = record;
  }
  return {
    length: records.length,
    first: from,
    source: (place) => turns[from + place]!,
    record: (place) => records[place]!,
  };
}

function inTurn(counts: readonly number[]): Uint16Array {
  const turns = new Uint16Array(counts.reduce((a, b) => a + b, 0));
  let at = 0;
  for (const [source, count] of counts.entries()) turns.fill(source, at, at += count);
  return turns;
}

/** The source whose next record is due first: its k-th record is due at (k + ½) / weight. */
function mixed(counts: readonly number[], weights: readonly number[]): Uint16Array {
  const turns = new Uint16Array(counts.reduce((a, b) => a + b, 0)), taken = counts.map(() => 0);
  for (let at = 0; at < turns.length; at++) {
    let next = 0, earliest = Infinity;
    for (const [source, weight] of weights.entries()) {
      const due = (taken[source]! + 0.5) / weight;
      if (due < earliest) [next, earliest] = [source, due];
    }
    if (taken[next]! >= counts[next]!) return turns.subarray(0, at);
    taken[next]!++;
    turns[at] = next;
  }
  return turns;
}
