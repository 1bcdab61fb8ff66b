/** Image files to pixels. */
import { FormatError } from "../errors.ts";
import { MAX_IMAGE_BYTES } from "./limits.ts";
import type { Raster } from "./raster.ts";

function begins(bytes: Uint8Array, signature: readonly number[]): boolean {
  return signature.every((byte, i) => bytes[i] === byte);
}

/**
 * Decodes the bytes of a PNG or JPEG file.
 *
 * @param where the file, for messages
 * @throws {FormatError} when they are no such image, or it is damaged or too large
 */
export async function decodeImage(bytes: Uint8Array, where: string): Promise<Raster> {
  if (bytes.length > MAX_IMAGE_BYTES) {
    throw new FormatError(where, `expected at most ${MAX_IMAGE_BYTES} bytes, received ${bytes.length}`);
  }
  const { decodePng, PNG_SIGNATURE } = await import("./_png.ts");
  if (begins(bytes, PNG_SIGNATURE)) return decodePng(bytes, where);
  const { decodeJpeg, JPEG_SIGNATURE } = await import("./_jpeg.ts");
  if (begins(bytes, JPEG_SIGNATURE)) return decodeJpeg(bytes, where);
  const start = Array.from(bytes.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  throw new FormatError(
    where,
    `expected a PNG or JPEG image, received ${start ? `bytes that begin ${start}` : "no bytes"}`,
    { hint: "Save the image as PNG or JPEG" },
  );
}
