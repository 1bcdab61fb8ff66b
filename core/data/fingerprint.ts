/**
 * What tells one model's weights from another's without reading them all: samples of two models must not be mixed.
 *
 * @module
 */
import { basename, join } from "node:path";
import { openFile } from "../files.ts";

/** Bytes of a piece that is read, and most pieces of a file. */
const PIECE = 4096, PIECES = 64;

/** Files that hold weights. */
const WEIGHTS = /\.(safetensors|bin|pt|pth|gguf)$/i;

/**
 * SHA-256 of the names and sizes of a model's files of weights, and of pieces spread over each. Where they lie does not
 * matter. What training changes, it changes nearly everywhere, so the pieces tell; a single edited number may go unseen.
 *
 * @param path folder of the model, or its only file
 */
export async function weightsFingerprint(path: string): Promise<string> {
  const files = await weightFiles(path);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for (const file of files) {
    using opened = await openFile(file);
    const { size } = opened, count = Math.min(PIECES, Math.ceil(size / PIECE));
    parts.push(new TextEncoder().encode(`${basename(file)}\n${size}\n`));
    for (let i = 0; i < count; i++) {
      const at = Math.floor(i * Math.max(0, size - PIECE) / Math.max(1, count - 1));
      parts.push(new Uint8Array(await opened.read(at, Math.min(PIECE, size - at))));
    }
  }
  const digest = await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer());
  return new Uint8Array(digest).toHex();
}

async function weightFiles(path: string): Promise<string[]> {
  if (!(await Deno.stat(path)).isDirectory) return [path];
  const names: string[] = [];
  for await (const { name } of Deno.readDir(path)) if (WEIGHTS.test(name)) names.push(name);
  return names.sort().map((name) => join(path, name));
}
