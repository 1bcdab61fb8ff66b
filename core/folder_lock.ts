/**
 * One run on a folder at a time. The lock is the operating system's own on an open file, so it goes with the process
 * that held it, however that ended: what a killed run left behind locks nobody out.
 *
 * @module
 */
import { join } from "node:path";
import { ConfigError, WriteError } from "./errors.ts";

/** Name of the file. */
export const LOCK_FILE = ".lock";

/**
 * Locks a folder, which is there, until the result is disposed of.
 *
 * @throws {ConfigError} when another run has it
 * @throws {WriteError} when the file cannot be made
 */
export async function lockFolder(folder: string): Promise<AsyncDisposable> {
  const path = join(folder, LOCK_FILE);
  while (true) {
    const file = await open(path);
    try {
      if (!await file.tryLock(true)) {
        throw new ConfigError(
          folder,
          `expected a folder that no other run works on, received ${await owner(path)}`,
          {
            hint: "Wait for the other run, stop it, or take another folder",
          },
        );
      }
      // The one who had it before may have removed the file in the meantime: then this is a lock on nothing.
      const [held, there] = [await file.stat(), await Deno.stat(path).catch(() => null)];
      if (there && held.ino === there.ino) {
        await file.truncate(0);
        await file.write(new TextEncoder().encode(`${Deno.pid}\n`));
        return { [Symbol.asyncDispose]: () => release(file, path) };
      }
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
  }
}

async function open(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { read: true, write: true, create: true });
  } catch (cause) {
    throw new WriteError(path, `expected to lock the folder, received ${(cause as Error).message}`, {
      cause,
    });
  }
}

async function release(file: Deno.FsFile, path: string): Promise<void> {
  // Removed while it is held, where the system allows that; an old one that stays does no harm.
  await Deno.remove(path).catch(() => {});
  file.close();
}

async function owner(path: string): Promise<string> {
  const pid = (await Deno.readTextFile(path).catch(() => "")).trim();
  return /^\d{1,10}$/.test(pid) ? `one that process ${pid} has locked` : "one that is locked";
}
