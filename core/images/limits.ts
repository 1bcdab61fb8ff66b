/** How large image files may be; what is larger is refused before it is unpacked. */
import { FormatError } from "../errors.ts";

/** Largest file of an image. */
export const MAX_IMAGE_BYTES: number = 64 * 1024 * 1024;

/** Most pixels of an image: what a camera of 64 megapixels takes. */
export const MAX_IMAGE_PIXELS: number = 1 << 26;

/**
 * Checks the size that a file says it has.
 *
 * @throws {FormatError} when there is nothing to see, or too much
 */
export function checkSize(where: string, width: number, height: number): void {
  if (width >= 1 && height >= 1 && width * height <= MAX_IMAGE_PIXELS) return;
  throw new FormatError(
    where,
    `expected an image of 1 to ${MAX_IMAGE_PIXELS} pixels, received ${width} × ${height}`,
    { hint: "Make the image smaller" },
  );
}
