/**
 * The log format of LevelDB (google/leveldb, doc/log_format.md) as Weights & Biases keeps it: a header of seven bytes,
 * then blocks of 32 KiB in which no part of a record crosses an end; checksums are plain CRC-32.
 *
 * @module
 */
import { crc32 } from "node:zlib";

/** What a file begins with: `:W&B`, 0xBEE1, version 0. */
export const FILE_HEADER: readonly number[] = [0x3a, 0x57, 0x26, 0x42, 0xe1, 0xbe, 0];

/** Bytes of a block and of the header of each part. */
const BLOCK = 32_768, PART_HEADER = 7;

/** Which part of a record: all of it, its first, a middle one, its last. */
const FULL = 1, FIRST = 2, MIDDLE = 3, LAST = 4;

/** A record's bytes as they stand in the file from `at` on. */
export function framed(data: Uint8Array, at: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let place = at, done = 0, begun = false;
  do {
    const left = BLOCK - place % BLOCK;
    if (left < PART_HEADER) { // too little for a part: zeros
      parts.push(new Uint8Array(left));
      place += left;
      continue;
    }
    const length = Math.min(left - PART_HEADER, data.length - done), first = !begun;
    const last = done + length === data.length;
    parts.push(part(data.subarray(done, done + length), first ? last ? FULL : FIRST : last ? LAST : MIDDLE));
    place += PART_HEADER + length;
    begun = true;
    done += length;
    if (last) break;
  } while (true);
  const all = new Uint8Array(place - at);
  let offset = 0;
  for (const bytes of parts) {
    all.set(bytes, offset);
    offset += bytes.length;
  }
  return all;
}

function part(data: Uint8Array, kind: number): Uint8Array {
  const bytes = new Uint8Array(PART_HEADER + data.length), view = new DataView(bytes.buffer);
  bytes.set(data, PART_HEADER);
  view.setUint32(0, crc32(data, crc32(Uint8Array.of(kind))), true);
  view.setUint16(4, data.length, true);
  view.setUint8(6, kind);
  return bytes;
}
