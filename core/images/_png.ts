/** The one place that imports the PNG decoder. It is given the parts that make up the picture and nothing else. */
import { inflateSync } from "node:zlib";
import { decode, type DecodedPng } from "npm:fast-png@8.0.0";
import { FormatError } from "../errors.ts";
import { checkSize } from "./limits.ts";
import type { Raster } from "./raster.ts";

/** What every PNG file begins with. */
export const PNG_SIGNATURE: readonly number[] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Chunks that the picture is made from; others may hold anything, packed. */
const KEPT: readonly string[] = ["IHDR", "PLTE", "IDAT", "IEND"];

interface Chunk {
  readonly type: string;
  /** With its length, type and checksum. */
  readonly whole: Uint8Array;
  readonly data: Uint8Array;
}

function chunksOf(bytes: Uint8Array, where: string): Chunk[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), chunks: Chunk[] = [];
  for (let at = PNG_SIGNATURE.length; chunks.at(-1)?.type !== "IEND";) {
    const length = at + 12 <= bytes.length ? view.getUint32(at) : Infinity;
    if (at + 12 + length > bytes.length) {
      throw new FormatError(where, `expected a whole PNG image, received one that is cut at byte ${at}`);
    }
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const whole = bytes.subarray(at, at + 12 + length);
    if (KEPT.includes(type)) chunks.push({ type, whole, data: whole.subarray(8, 8 + length) });
    at += whole.length;
  }
  return chunks;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/**
 * Decodes a PNG image.
 *
 * @throws {FormatError} when it is cut, damaged or too large
 */
export function decodePng(bytes: Uint8Array, where: string): Raster {
  const chunks = chunksOf(bytes, where), header = chunks[0]?.type === "IHDR" ? chunks[0].data : null;
  if (header?.length !== 13) {
    throw new FormatError(where, "expected a PNG image with a header, received none");
  }
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const width = view.getUint32(0), height = view.getUint32(4), depth = header[8]!;
  checkSize(where, width, height);
  if (header[12] !== 0 && depth < 8) {
    throw new FormatError(where, `expected 8 bits or more where rows are interlaced, received ${depth}`, {
      hint: "Save the image without interlacing",
    });
  }
  try {
    // The decoder unpacks whatever is there: whether that is more than the picture is found out first.
    const packed = joined(chunks.filter(({ type }) => type === "IDAT").map(({ data }) => data));
    inflateSync(packed, { maxOutputLength: 8 * width * height + 16 * (height + 8) });
    const kept = [Uint8Array.from(PNG_SIGNATURE), ...chunks.map(({ whole }) => whole)];
    return coloured(decode(joined(kept), { checkCrc: true }));
  } catch (cause) {
    throw new FormatError(where, `expected a PNG image, received "${(cause as Error).message}"`, { cause });
  }
}

/** Colours of samples of any depth, of greys, of a palette. */
function coloured({ width, height, data, depth, channels, palette }: DecodedPng): Raster {
  const rgb = new Uint8Array(3 * width * height), line = Math.ceil(width * depth / 8);
  const most = 2 ** depth - 1;
  const sample = (y: number, x: number, channel: number): number => {
    if (depth >= 8) return data[(y * width + x) * channels + channel]!;
    const shift = 8 - depth - (x * depth) % 8;
    return data[y * line + Math.floor(x * depth / 8)]! >> shift & most;
  };
  for (let i = 0; i < width * height; i++) {
    const y = Math.floor(i / width), x = i % width;
    const entry = palette ? palette[sample(y, x, 0)] : null;
    if (entry === undefined) throw new RangeError("a colour that the palette has not");
    for (let c = 0; c < 3; c++) {
      if (entry) rgb[3 * i + c] = entry[c]!;
      else {
        const value = sample(y, x, channels < 3 ? 0 : c);
        rgb[3 * i + c] = depth === 16 ? value >> 8 : value * (255 / most);
      }
    }
  }
  return { width, height, rgb };
}
