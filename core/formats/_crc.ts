/**
 * CRC-32 of memory of any size.
 *
 * @module
 */
import { crc32 } from "node:zlib";

/** The native function counts bytes in 32 bits, so longer memory goes in parts. */
const PART = 2 ** 30;

/** CRC-32 of some bytes, going on from that of the bytes before them. */
export function checksum(bytes: Uint8Array, before = 0): number {
  let sum = before;
  for (let at = 0; at < bytes.length; at += PART) sum = crc32(bytes.subarray(at, at + PART), sum);
  return sum;
}
