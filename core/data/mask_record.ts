/**
 * A record's tokens and which of them are trained on, as samples have them.
 *
 * @module
 */
import type { MaskRule, TextModel } from "../text/mod.ts";
import { preprocessRecord } from "./preprocess.ts";
import { PythonRandom } from "./random.ts";

/** A conversation's tokens. */
export interface MaskedRecord {
  /** Those of a sample. */
  readonly ids: Int32Array;
  /** 1 where a token is trained on. */
  readonly lossMask: Uint8Array;
  /** Those that count for frequencies: one more for `strictUpstream`, where the sample is cut. */
  readonly counted: { readonly ids: Int32Array; readonly lossMask: Uint8Array };
  /** What was encoded. */
  readonly text: string;
  /** Place of each token of the sample in it. */
  readonly offsets: Int32Array;
  /** Where its images are: paths or `data:` URLs. Each has one token, as yet. */
  readonly images?: readonly string[];
}

/** What a record gives: tokens, or why it cannot be used. */
export type MaskResult = MaskedRecord | { readonly rejected: string; readonly detail?: string };

/** How records are masked. */
export interface MaskRecordOptions {
  /** Most tokens of a sample. */
  readonly seqLength: number;
  /** Train on just the tokens that the Python system trains on; samples are a token shorter. */
  readonly strictUpstream: boolean;
  /** Keep a random number of turns, drawn with this seed. */
  readonly dropoutSeed?: bigint;
}

/** Masks a record. */
export function maskRecord(
  record: unknown,
  text: { readonly model: TextModel; readonly rule: MaskRule },
  { seqLength, strictUpstream, dropoutSeed }: MaskRecordOptions,
): MaskResult {
  const made = preprocessRecord(record, {
    ...text,
    maxLength: seqLength,
    strictUpstream,
    ...(dropoutSeed === undefined ? {} : { turnDropout: new PythonRandom(dropoutSeed) }),
  });
  if ("rejected" in made) {
    const { reason, detail } = made.rejected;
    return { rejected: reason, ...(detail === undefined ? {} : { detail }) };
  }
  const { ids, lossMask, offsets, text: encoded } = made.sequence;
  // Upstream has its server write one token more than it keeps.
  const end = strictUpstream ? Math.min(ids.length, seqLength - 1) : ids.length;
  if (end === 0) return { rejected: "no token" };
  return {
    ids: ids.subarray(0, end),
    lossMask: lossMask.subarray(0, end),
    counted: { ids, lossMask },
    text: encoded,
    offsets: offsets.subarray(0, 2 * end),
    ...(made.images ? { images: made.images } : {}),
  };
}
