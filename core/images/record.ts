/** Images in a record of a data set. */
import { dirname, isAbsolute, join } from "node:path";
import type { MaskedRecord } from "../data/mask_record.ts";
import { SpeculatorsError } from "../errors.ts";
import type { ImagePatches } from "../plugin.ts";
import type { ImageInput } from "./prompt.ts";

/** A record with its images, or why it cannot be used. */
export type ImageRecord =
  | { readonly record: MaskedRecord; readonly patches: readonly ImagePatches[] }
  | { readonly rejected: string; readonly detail?: string };

/**
 * Reads a record's images and gives them their tokens.
 *
 * @param record with one token for each image
 * @param options `path`: the record's file, whose folder relative paths begin at; `seqLength`: most tokens
 */
export async function placeImages(
  record: MaskedRecord,
  input: ImageInput,
  { path, seqLength }: { readonly path: string; readonly seqLength: number },
): Promise<ImageRecord> {
  const patches: ImagePatches[] = [];
  let places: Int32Array;
  try {
    for (const source of record.images ?? []) {
      const whole = isAbsolute(source) || /^[a-z][a-z0-9+.-]+:/i.test(source);
      patches.push(await input.read(whole ? source : join(dirname(path), source)));
    }
    places = input.expand(record.ids, patches);
  } catch (cause) {
    if (!(cause instanceof SpeculatorsError)) throw cause;
    return { rejected: "an image cannot be read or placed", detail: cause.message };
  }
  const end = Math.min(places.length, seqLength), kept = places.subarray(0, end);
  // Only text may be cut off.
  const { token } = input;
  if (places.subarray(end).some((from) => record.ids[from] === token)) return { rejected: "an image is cut" };
  const ids = kept.map((from) => record.ids[from]!), lossMask = new Uint8Array(end);
  kept.forEach((from, i) => lossMask[i] = ids[i] === token ? 0 : record.lossMask[from]!);
  if (!lossMask.includes(1)) return { rejected: "no trained token" };
  const offsets = new Int32Array(2 * end);
  kept.forEach((from, i) => offsets.set(record.offsets.subarray(2 * from, 2 * from + 2), 2 * i));
  return { record: { ...record, ids, lossMask, offsets, counted: { ids, lossMask } }, patches };
}
