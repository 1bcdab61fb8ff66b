/** Images in a prompt: read, made to patches, and given room among the tokens. */
import { join } from "node:path";
import { ConfigError, NotFoundError } from "../errors.ts";
import { readJson } from "../files.ts";
import type { ImagePatches, ImageReader } from "../plugin.ts";
import type { OpenedVerifier } from "../verifier.ts";
import { readImage } from "./read.ts";

/** Largest `preprocessor_config.json` that is read. */
const MAX_CONFIG_BYTES = 1024 * 1024;

/** Reads images for a verifier. */
export interface ImageInput {
  /** The token that stands for an image. */
  readonly token: number;
  /**
   * Reads an image and makes patches of it.
   *
   * @param source as of `readImage`
   * @throws {NotFoundError} when the file is not there
   * @throws {FormatError} when it is no image, or too large
   * @throws {ShapeError} when it cannot be brought to a size that the model takes
   */
  read(source: string): Promise<ImagePatches>;
  /**
   * Gives each image as many tokens as it has rows: the prompt has one for each.
   *
   * @returns for each token of the longer prompt, which one of the prompt it is
   * @throws {ConfigError} when the prompt has not as many image tokens as there are images
   */
  expand(tokens: Int32Array, images: readonly ImagePatches[]): Int32Array;
}

/**
 * What reads images for a verifier.
 *
 * @throws {ConfigError} when it reads text only, or its processor's config cannot be used
 */
export async function openImages(
  { architecture, info, folder }: Pick<OpenedVerifier, "architecture" | "info" | "folder">,
): Promise<ImageInput> {
  const reader = architecture.images?.(info) ?? null;
  if (!reader) {
    throw new ConfigError("images", `expected a verifier that reads images, received ${info.nameOrPath}`, {
      hint: `Leave the images out, or take a vision-language model: ${
        info.architectures.join(", ")
      } reads text only`,
    });
  }
  const config = await processorConfig(join(folder, "preprocessor_config.json"));
  return {
    token: reader.token,
    read: async (source) => reader.prepare(await readImage(source), config),
    expand: (tokens, images) => expandImages(tokens, images, reader),
  };
}

async function processorConfig(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const value = await readJson(path, { maxBytes: MAX_CONFIG_BYTES });
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch (cause) {
    if (cause instanceof NotFoundError) return {};
    throw cause;
  }
  throw new ConfigError(path, "expected an object, received something else");
}

/** Gives each image as many tokens as it has rows. */
function expandImages(
  tokens: Int32Array,
  images: readonly ImagePatches[],
  { token, rows }: Pick<ImageReader, "token" | "rows">,
): Int32Array {
  const places = tokens.reduce((count, id) => count + (id === token ? 1 : 0), 0);
  if (places !== images.length) {
    throw new ConfigError(
      "images",
      `expected ${images.length} image tokens ${token} in the prompt, one for each image, received ${places}`,
      { hint: "Take the chat template of the vision-language model, and no image tokens in the text itself" },
    );
  }
  const counts = images.map(rows), extra = counts.reduce((sum, n) => sum + n - 1, 0);
  const all = new Int32Array(tokens.length + extra);
  let to = 0, next = 0;
  for (const [from, id] of tokens.entries()) {
    const count = id === token ? counts[next++]! : 1;
    all.fill(from, to, to + count);
    to += count;
  }
  return all;
}
