/**
 * Packed batches: several samples shifted, joined along the sequence, cut or padded to a length.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { Noise } from "./noise.ts";
import { drawNoise } from "./noise.ts";
import type { Sample } from "./sample.ts";
import { widenRows } from "./sample.ts";

/** Documents side by side in plain memory. T tokens, A auxiliary layers, H the verifier's width. */
export interface PackedBatch {
  /** i32 `[T]`. Row r of `hidden` is the state that has seen the token *before* `tokens[r]`. */
  readonly tokens: Int32Array;
  /** `[T]`: 1 where the token is trained on; 0 in padding. */
  readonly lossMask: Uint8Array;
  /** i32 `[T]`: place in the document, from 1 (the shift drops place 0); 0 in padding. */
  readonly positions: Int32Array;
  /** i32 `[T]`: which document, from 0; −1 in padding. */
  readonly documents: Int32Array;
  /** Rows of each document. */
  readonly lengths: readonly number[];
  /** f32 `[T, A·H]`: the auxiliary layers side by side, at the token before. */
  readonly hidden: Float32Array;
  /** f32 `[T, H]`: the last layer before the final norm, at the token itself. */
  readonly last: Float32Array;
  /** A·H. */
  readonly auxWidth: number;
  /** H. */
  readonly width: number;
}

/** How a batch is packed. */
export interface PackOptions {
  /** Most rows; what is beyond is cut off. */
  readonly maxLength: number;
  /** Rows to fill up to with padding, or `false` for none. Upstream pads to `maxLength`. */
  readonly pad?: number | false;
  /** Noise on the states, drawn before the shift; for training only. */
  readonly noise?: Noise;
}

/**
 * Shifts and packs samples. The shift drops the first token, the last auxiliary state, the first last-layer state and
 * the first mask entry, so that each row pairs a token with the state it was predicted from.
 *
 * source: speculators v0.4.0.1, `train/data.py` (`shift_batch`, `create_collate_fn`)
 *
 * @throws {ConfigError} when there is no sample, or widths differ between samples
 */
export function packBatch(samples: readonly Sample[], options: PackOptions): PackedBatch {
  const { maxLength, pad = false } = options;
  const first = samples[0];
  if (first === undefined) throw new ConfigError("batch", "expected at least one sample, received none");
  const width = first.hidden[0]?.shape[1] ?? 0;
  const aux = first.hidden.length - 1;
  const auxWidth = aux * width;
  const lengths = documentLengths(samples.map((s) => Math.max(0, s.inputIds.length - 1)), maxLength);
  const used = lengths.reduce((a, b) => a + b, 0);
  const total = pad === false ? used : pad;
  if (total < used) {
    throw new ConfigError("pad", `expected at least the ${used} rows of the batch, received ${total}`);
  }

  const batch = {
    tokens: new Int32Array(total),
    lossMask: new Uint8Array(total),
    positions: new Int32Array(total),
    documents: new Int32Array(total).fill(-1),
    lengths,
    hidden: new Float32Array(total * auxWidth),
    last: new Float32Array(total * width),
    auxWidth,
    width,
  };
  let at = 0;
  for (const [document, rows] of lengths.entries()) {
    const sample = samples[document]!;
    if (sample.hidden.length !== aux + 1 || sample.hidden.some((h) => h.shape[1] !== width)) {
      throw new ConfigError(
        `batch: sample ${document}`,
        `expected ${aux + 1} layers of width ${width}, received ${sample.hidden.length} of width ` +
          `${sample.hidden[0]?.shape[1]}`,
      );
    }
    batch.tokens.set(sample.inputIds.subarray(1, 1 + rows), at);
    batch.lossMask.set(sample.lossMask.subarray(1, 1 + rows), at);
    for (let r = 0; r < rows; r++) batch.positions[at + r] = r + 1;
    batch.documents.fill(document, at, at + rows);
    for (let a = 0; a < aux; a++) {
      const place = { from: 0, rows, at: at * auxWidth + a * width, stride: auxWidth };
      widenRows(sample.hidden[a]!, batch.hidden, place);
    }
    widenRows(sample.hidden[aux]!, batch.last, { from: 1, rows, at: at * width, stride: width });
    at += rows;
  }
  if (options.noise !== undefined) {
    // Every element is drawn independently, so drawing after the shift is the same distribution. Padding stays 0.
    drawNoise(batch.hidden.subarray(0, used * auxWidth), options.noise);
    drawNoise(batch.last.subarray(0, used * width), options.noise);
  }
  return batch;
}

/**
 * Rows that each document keeps: whole ones while they fit, then the part of the one that reaches `maxLength`; later
 * documents vanish.
 */
export function documentLengths(lengths: readonly number[], maxLength: number): number[] {
  const kept: number[] = [];
  let sum = 0;
  for (const length of lengths) {
    if (sum + length >= maxLength) {
      kept.push(maxLength - sum);
      break;
    }
    kept.push(length);
    sum += length;
  }
  return kept;
}
