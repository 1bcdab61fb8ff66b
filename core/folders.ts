/**
 * Folders that are read from and written to, checked before work begins: a run of hours must not fail at its end
 * because a folder cannot be written.
 *
 * @module
 */
import { join } from "node:path";
import { NotFoundError, WriteError } from "./errors.ts";

/**
 * Refuses what is no folder.
 *
 * @param what what the folder should hold: `a model`
 * @throws {NotFoundError} when nothing or a file is there
 */
export async function requireFolder(
  path: string,
  options: { readonly what: string; readonly hint?: string },
): Promise<void> {
  const expected = `expected the folder of ${options.what}`;
  const info = await Deno.stat(path).catch((cause) => {
    throw new NotFoundError(path, `${expected}, received nothing under that name`, {
      cause,
      ...(options.hint === undefined ? {} : { hint: options.hint }),
    });
  });
  if (info.isDirectory) return;
  throw new NotFoundError(path, `${expected}, received a file`, {
    hint: "Give the folder that the file is in",
  });
}

/**
 * Makes a folder, with those on the way, and tries to write a file in it.
 *
 * @throws {WriteError} when that fails
 */
export async function requireWritable(folder: string): Promise<void> {
  const probe = join(folder, `.${crypto.randomUUID().slice(0, 8)}.tmp`);
  try {
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeFile(probe, new Uint8Array(), { createNew: true });
    await Deno.remove(probe);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new WriteError(folder, `expected a folder to write files in, received ${reason}`, {
      cause,
      hint: "Name a folder that can be made or written to",
    });
  }
}
