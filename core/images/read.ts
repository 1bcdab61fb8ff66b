/** Where images come from: files, and `data:` URLs. */
import { Buffer } from "node:buffer";
import { fileURLToPath } from "node:url";
import { FormatError } from "../errors.ts";
import { openFile } from "../files.ts";
import { decodeImage } from "./decode.ts";
import { MAX_IMAGE_BYTES } from "./limits.ts";
import type { Raster } from "./raster.ts";

const DATA = /^data:[^,;]{0,100}(?:;[^,;]{1,100})*;base64,/i;

/**
 * Reads an image; nothing is fetched from elsewhere.
 *
 * @param source path of a PNG or JPEG file, `file:` URL, or `data:` URL in base64
 * @throws {NotFoundError} when the file is not there
 * @throws {FormatError} when it is no image, or too large
 */
export async function readImage(source: string): Promise<Raster> {
  if (/^data:/i.test(source)) return await decodeImage(dataOf(source), "data: URL");
  if (/^https?:/i.test(source)) {
    throw new FormatError(
      source.slice(0, 200),
      "expected a local file or a data: URL, received another URL",
      {
        hint: "Download the image and give its path",
      },
    );
  }
  using file = await openFile(/^file:/i.test(source) ? fileURLToPath(source) : source);
  if (file.size > MAX_IMAGE_BYTES) {
    throw new FormatError(source, `expected at most ${MAX_IMAGE_BYTES} bytes, received ${file.size}`);
  }
  return await decodeImage(await file.read(0, file.size), source);
}

function dataOf(url: string): Uint8Array {
  const head = DATA.exec(url.slice(0, 1000))?.[0];
  if (head === undefined) {
    throw new FormatError("data: URL", "expected an image in base64, received another encoding");
  }
  if (url.length > 2 * MAX_IMAGE_BYTES) {
    throw new FormatError("data: URL", `expected at most ${MAX_IMAGE_BYTES} bytes, received more`);
  }
  return Buffer.from(url.slice(head.length), "base64");
}
