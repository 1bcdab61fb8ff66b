/** Where blocks begin in training, and what their rows see. */
import type { PackedBatch } from "../../core/data/batch.ts";
import type { LayerSight } from "./config.ts";

/** Chooses the anchors of a batch among its candidates, rows in ascending order. */
export type ChooseAnchors = (candidates: Int32Array, batch: PackedBatch) => Int32Array;

/** What a block's places are, for the choice of rows that have a target. */
export interface BlockShape {
  /** Rows of a block. */
  readonly block: number;
  /** First place that gives a token. */
  readonly first: number;
}

/**
 * Place k of the block at a row has a target where the token of row `anchor + k` is trained on and is of the anchor's own
 * text.
 */
export function hasTarget(
  { lossMask, documents }: PackedBatch,
  anchor: number,
  place: number,
): boolean {
  return lossMask[anchor + place] === 1 && documents[anchor + place] === documents[anchor];
}

/** Rows whose token is trained on and whose block has a target: i32, ascending. */
export function anchorCandidates(batch: PackedBatch, { block, first }: BlockShape): Int32Array {
  const found: number[] = [];
  for (let row = 0; row < batch.tokens.length; row++) {
    if (batch.lossMask[row] !== 1 || batch.documents[row]! < 0) continue;
    for (let place = first; place < block; place++) {
      if (!hasTarget(batch, row, place)) continue;
      found.push(row);
      break;
    }
  }
  return Int32Array.from(found);
}

/**
 * Draws at most `most` candidates without replacement. The draw depends on a seed, the tokens and their states: it is the
 * same whenever the batch is, and another one where noise on the states makes it another, as it does in every epoch.
 *
 * @returns a choice in ascending order, as blocks that lie close are worked together
 */
export function drawAnchors(most: number, seed = 0): ChooseAnchors {
  return (candidates, batch) => {
    if (candidates.length <= most) return candidates;
    const next = generator(fingerprint(candidates, batch, seed)), pool = candidates.slice();
    for (let i = 0; i < most; i++) {
      const other = i + Math.floor(next() * (pool.length - i));
      [pool[i], pool[other]] = [pool[other]!, pool[i]!];
    }
    return pool.slice(0, most).sort();
  };
}

/** Hashes a batch's candidates: FNV-1a over their rows, tokens and first state entries. */
function fingerprint(candidates: Int32Array, batch: PackedBatch, seed: number): number {
  const bits = new Uint32Array(batch.hidden.buffer, batch.hidden.byteOffset, batch.hidden.length);
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  const take = (word: number) => hash = Math.imul(hash ^ word, 0x01000193) >>> 0;
  for (const row of candidates) {
    take(batch.tokens[row]!);
    take(bits[row * batch.auxWidth] ?? 0);
  }
  return hash;
}

/** Numbers from 0 to 1: mulberry32. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * What the rows of blocks see: of the context, whose row r is the verifier's state that has seen the token before row r,
 * those of the anchor's text up to the anchor's row; of the blocks their own. i32 `[anchors·block, 2]` each.
 *
 * source: speculators v0.7.0.1, `models/dflash/attention.py` (`create_anchor_block_mask_mod`)
 */
export function blockRanges(
  { documents }: PackedBatch,
  { anchors, block }: { readonly anchors: Int32Array; readonly block: number },
  { window, causal }: LayerSight,
): { readonly context: Int32Array; readonly own: Int32Array } {
  const context = new Int32Array(2 * anchors.length * block), own = new Int32Array(context.length);
  const starts = new Int32Array(documents.length);
  for (let t = 1; t < starts.length; t++) starts[t] = documents[t] === documents[t - 1] ? starts[t - 1]! : t;
  for (const [i, anchor] of anchors.entries()) {
    const end = anchor + 1, start = Math.max(starts[anchor]!, window === null ? 0 : end - window);
    for (let place = 0; place < block; place++) {
      const row = i * block + place;
      context.set([start, end], 2 * row);
      own.set([i * block, causal ? row + 1 : (i + 1) * block], 2 * row);
    }
  }
  return { context, own };
}
