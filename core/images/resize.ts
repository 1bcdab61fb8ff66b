/**
 * Bicubic resampling of 8-bit colours as Pillow does it, bit for bit: cubic convolution with a = −1/2 (Keys 1981), widened where
 * the image shrinks so that every pixel counts; first along rows, then along columns, each time to 8 bits, by weights in
 * fixed point of 22 bits (Pillow, src/libImaging/Resample.c).
 *
 * @module
 */
import { ShapeError } from "../errors.ts";
import { MAX_IMAGE_PIXELS } from "./limits.ts";
import type { Raster } from "./raster.ts";

/** Pixels to each side that the cubic reaches. */
const REACH = 2;

const A = -0.5;

/** One in fixed point. */
const ONE = 2 ** 22;

/** Weights of the pixels that one pixel is made from. */
interface Taps {
  readonly first: number;
  readonly weights: Float64Array;
}

function cubic(distance: number): number {
  const x = Math.abs(distance);
  if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * A : 0;
}

function taps(from: number, to: number): Taps[] {
  const scale = from / to, widened = Math.max(scale, 1), reach = REACH * widened;
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale, first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const end = Math.min(Math.trunc(centre + reach + 0.5), from);
    const weights = new Float64Array(end - first).map((_, k) =>
      cubic((k + first - centre + 0.5) * (1 / widened))
    );
    const sum = weights.reduce((sum, w) => sum + w, 0);
    // Rounded half away from zero.
    return { first, weights: weights.map((w) => Math.trunc((w / sum) * ONE + (w < 0 ? -0.5 : 0.5))) };
  });
}

/** Resamples lines that lie side by side: pixel i of a line is at `i · step`. */
function along(
  source: Uint8Array,
  line: {
    readonly taps: readonly Taps[];
    readonly step: number;
    readonly lines: readonly [number, number][];
  },
  target: Uint8Array,
): void {
  for (const [from, to] of line.lines) {
    for (const [i, { first, weights }] of line.taps.entries()) {
      let sum = ONE / 2;
      for (let k = 0; k < weights.length; k++) sum += source[from + (first + k) * line.step]! * weights[k]!;
      const value = Math.floor(sum / ONE);
      target[to + i * line.step] = value < 0 ? 0 : value > 255 ? 255 : value;
    }
  }
}

/**
 * Resamples an image to another size.
 *
 * @throws {ShapeError} when the size is no size, or too large
 */
export function resizeBicubic(
  image: Raster,
  size: { readonly width: number; readonly height: number },
): Raster {
  const { width, height } = size, whole = [width, height].every((n) => Number.isInteger(n) && n > 0);
  if (!whole || width * height > MAX_IMAGE_PIXELS || width * image.height > MAX_IMAGE_PIXELS) {
    throw new ShapeError(
      "resize",
      `expected an image of at most ${MAX_IMAGE_PIXELS} pixels, received ${width} × ${height}`,
    );
  }
  const wide = new Uint8Array(3 * width * image.height), rgb = new Uint8Array(3 * width * height);
  const rows = Array.from({ length: 3 * image.height }, (_, i): [number, number] => {
    const row = Math.floor(i / 3), channel = i % 3;
    return [3 * image.width * row + channel, 3 * width * row + channel];
  });
  along(image.rgb, { taps: taps(image.width, width), step: 3, lines: rows }, wide);
  const columns = Array.from({ length: 3 * width }, (_, i): [number, number] => [i, i]);
  along(wide, { taps: taps(image.height, height), step: 3 * width, lines: columns }, rgb);
  return { width, height, rgb };
}
