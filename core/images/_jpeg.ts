/** The one place that imports the JPEG decoder. */
import jpeg from "npm:jpeg-js@0.4.4";
import { FormatError } from "../errors.ts";
import { checkSize, MAX_IMAGE_PIXELS } from "./limits.ts";
import type { Raster } from "./raster.ts";

/** What every JPEG file begins with. */
export const JPEG_SIGNATURE: readonly number[] = [0xff, 0xd8, 0xff];

/** Memory that decoding may take. */
const MAX_MEGABYTES = 2048;

/**
 * Decodes a JPEG image, turned as its camera was held.
 *
 * @throws {FormatError} when it is cut, damaged or too large
 */
export function decodeJpeg(bytes: Uint8Array, where: string): Raster {
  try {
    const { width, height, data, exifBuffer } = jpeg.decode(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      maxResolutionInMP: Math.ceil(MAX_IMAGE_PIXELS / 1e6),
      maxMemoryUsageInMB: MAX_MEGABYTES,
    }) as { width: number; height: number; data: Uint8Array; exifBuffer?: ArrayBuffer | Uint8Array };
    checkSize(where, width, height);
    return turned({ width, height, rgb: data }, exifBuffer ? orientation(new Uint8Array(exifBuffer)) : 1);
  } catch (cause) {
    if (cause instanceof FormatError) throw cause;
    throw new FormatError(where, `expected a JPEG image, received "${(cause as Error).message}"`, { cause });
  }
}

/** Exif's tag of how the camera was held: 1 upright … 8; 1 where nothing is said (CIPA DC-008, 4.6.4). */
function orientation(exif: Uint8Array): number {
  const { buffer, byteOffset, byteLength } = exif;
  const start = exif.findIndex((byte) => byte !== 0); // the decoder leaves a zero of the "Exif" before it
  if (start < 0 || byteLength < start + 8) return 1;
  const view = new DataView(buffer, byteOffset + start, byteLength - start);
  const little = view.getUint16(0) === 0x4949, first = view.getUint32(4, little);
  const count = first + 2 <= view.byteLength ? view.getUint16(first, little) : 0;
  for (let i = 0, at = first + 2; i < count && at + 12 <= view.byteLength; i++, at += 12) {
    if (view.getUint16(at, little) === 0x0112) return view.getUint16(at + 8, little);
  }
  return 1;
}

/** Where a pixel of the upright picture is in the stored one, by orientation. */
const SOURCES: Readonly<
  Record<number, (x: number, y: number, right: number, bottom: number) => readonly [number, number]>
> = {
  2: (x, y, right) => [right - x, y],
  3: (x, y, right, bottom) => [right - x, bottom - y],
  4: (x, y, _, bottom) => [x, bottom - y],
  5: (x, y) => [y, x],
  6: (x, y, _, bottom) => [y, bottom - x],
  7: (x, y, right, bottom) => [right - y, bottom - x],
  8: (x, y, right) => [right - y, x],
};

function turned(raster: Raster, how: number): Raster {
  const source = SOURCES[how];
  if (!source) return raster;
  const [width, height] = how < 5 ? [raster.width, raster.height] : [raster.height, raster.width];
  const rgb = new Uint8Array(raster.rgb.length);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 3) {
      const [column, row] = source(x, y, raster.width - 1, raster.height - 1);
      const from = 3 * (row * raster.width + column);
      rgb.set(raster.rgb.subarray(from, from + 3), to);
    }
  }
  return { width, height, rgb };
}
