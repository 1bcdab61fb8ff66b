/** Images as the Qwen-VL families take them (transformers, Qwen2VLImageProcessor; Wang et al. 2024, arXiv 2409.12191, 2.1). */
import { ConfigError, ShapeError } from "../../core/errors.ts";
import { resizeBicubic } from "../../core/images/resize.ts";
import type { ImagePatches, ImageReader, Raster } from "../../core/plugin.ts";
import { ConfigFields } from "./verifier_config.ts";

/** Sides further apart than this are refused. */
const MOST_ASPECT = 200;

/** Most pixels of a resized image that a config may ask for. */
const MOST_PIXELS = 2 ** 26;

/** Mean and deviation of colours where the config does not say: those of CLIP (Radford et al. 2021). */
const MEAN: readonly number[] = [0.48145466, 0.4578275, 0.40821073];
const STD: readonly number[] = [0.26862954, 0.26130258, 0.27577711];

/** Largest area where the config does not say. */
const LONGEST = 28 * 28 * 1280;

/** Smallest area where the config does not say. */
const SHORTEST = 56 * 56;

/** Bicubic, as Pillow counts its ways of resampling. */
const BICUBIC = 3;

/** What a model takes, whatever its processor's config says. */
export interface QwenImages {
  /** The token that an image stands for. */
  readonly token: number;
  /** Pixels along a patch's side. */
  readonly patch: number;
  /** Frames of a patch. */
  readonly frames: number;
  /** Patches along each side that become one row. */
  readonly merge: number;
}

interface Processor {
  readonly least: number;
  readonly most: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly rescale: number;
}

/** Python's rounding: halves go to the even neighbour. */
function rounded(x: number): number {
  const low = Math.floor(x), rest = x - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

/**
 * The size that an image is brought to: multiples of `factor`, an area within the bounds, about the same aspect.
 *
 * @throws {ShapeError} when one side is more than 200 times the other
 */
export function smartSize(
  { width, height }: Pick<Raster, "width" | "height">,
  { factor, least, most }: { readonly factor: number; readonly least: number; readonly most: number },
): { readonly width: number; readonly height: number } {
  if (Math.max(width, height) / Math.min(width, height) > MOST_ASPECT) {
    throw new ShapeError(
      "resize",
      `expected an image whose sides are at most ${MOST_ASPECT} to 1, received ${width} × ${height}`,
    );
  }
  const area = rounded(height / factor) * rounded(width / factor) * factor ** 2;
  const beta = Math.sqrt(area > most ? height * width / most : least / (height * width));
  const fitted = (side: number): number => {
    if (area > most) return Math.max(factor, Math.floor(side / beta / factor) * factor);
    return area < least ? Math.ceil(side * beta / factor) * factor : rounded(side / factor) * factor;
  };
  return { width: fitted(width), height: fitted(height) };
}

function three(fields: ConfigFields, config: Readonly<Record<string, unknown>>, options: {
  readonly name: string;
  readonly fallback: readonly number[];
  readonly above: number;
}): readonly number[] {
  const { name, fallback, above } = options, value = config[name] ?? fallback;
  const fits = (x: unknown) => typeof x === "number" && Number.isFinite(x) && x > above;
  if (!Array.isArray(value) || value.length !== 3 || !value.every(fits)) {
    throw fields.refuse(name, "three numbers");
  }
  return value;
}

/** Reads `preprocessor_config.json`. */
function processor(config: Readonly<Record<string, unknown>>, where: string, own: QwenImages): Processor {
  const fields = new ConfigFields(config, where, "preprocessor_config.json");
  const fixed = [["patch_size", own.patch], ["temporal_patch_size", own.frames], ["merge_size", own.merge]];
  for (const [name, value] of fixed as [string, number][]) {
    if ((config[name] ?? value) !== value) throw fields.refuse(name, `${value} as in config.json`);
  }
  for (const name of ["do_resize", "do_rescale", "do_normalize"]) {
    if (!fields.flag(name, true)) throw fields.refuse(name, "true");
  }
  if ((config["resample"] ?? BICUBIC) !== BICUBIC) throw fields.refuse("resample", `${BICUBIC} (bicubic)`);
  // Older configs bound the area by fields of their own, which win.
  const size = new ConfigFields(fields.record("size") ?? {}, where, "preprocessor_config.json: size");
  const bound = (old: string, name: string, fallback: number) =>
    (config[old] ?? null) !== null
      ? fields.count(old, { most: MOST_PIXELS })
      : size.count(name, { most: MOST_PIXELS, fallback });
  const least = bound("min_pixels", "shortest_edge", SHORTEST);
  const most = bound("max_pixels", "longest_edge", LONGEST);
  if (least > most) {
    throw new ConfigError(
      `${where}/preprocessor_config.json`,
      `expected fewer pixels at least than at most, received ${least} and ${most}`,
    );
  }
  return {
    least,
    most,
    mean: three(fields, config, { name: "image_mean", fallback: MEAN, above: -Infinity }),
    std: three(fields, config, { name: "image_std", fallback: STD, above: 0 }),
    rescale: fields.positive("rescale_factor", 1 / 255),
  };
}

/** Patches in the order in which they are merged; a picture fills every frame of its patches. */
function patches(
  image: Raster,
  { patch, frames, merge }: QwenImages,
  { mean, std, rescale }: Processor,
): ImagePatches {
  const down = image.height / patch, across = image.width / patch, { width, rgb } = image;
  const levels = mean.map((mean, c) =>
    Float32Array.from({ length: 256 }, (_, level) => (Math.fround(level * rescale) - mean) / std[c]!)
  );
  const pixels = new Float32Array(3 * frames * width * image.height);
  let to = 0;
  for (let i = 0; i < down * across; i++) {
    const within = i % merge ** 2, block = Math.floor(i / merge ** 2), blocks = across / merge;
    const top = (Math.floor(block / blocks) * merge + Math.floor(within / merge)) * patch;
    const left = (block % blocks * merge + within % merge) * patch;
    for (let c = 0; c < 3; c++) {
      const level = levels[c]!, first = to;
      for (let y = top; y < top + patch; y++) {
        for (let x = left; x < left + patch; x++) pixels[to++] = level[rgb[3 * (y * width + x) + c]!]!;
      }
      const plane = patch * patch;
      for (let frame = 1; frame < frames; frame++, to += plane) pixels.copyWithin(to, first, first + plane);
    }
  }
  return { pixels, grid: [1, down, across] };
}

/** What prepares images for a Qwen-VL model. */
export function qwenImages(own: QwenImages, nameOrPath: string): ImageReader {
  return {
    token: own.token,
    rows: ({ grid: [t, h, w] }) => t * h * w / own.merge ** 2,
    prepare(image, config) {
      const how = processor(config, nameOrPath, own);
      return patches(
        resizeBicubic(image, smartSize(image, { ...how, factor: own.patch * own.merge })),
        own,
        how,
      );
    },
  };
}
