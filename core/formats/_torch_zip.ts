/**
 * Torch's archives: `data.pkl` with the values, `data/KEY` with each storage.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import type { OpenFile } from "../files.ts";
import { unpickle } from "./_pickle.ts";
import { storageRequest } from "./_torch_storage.ts";
import { StorageValue } from "./_torch_globals.ts";
import { checkValue } from "./_torch_check.ts";
import type { TorchStorage, TorchValue } from "./_torch_values.ts";
import { openZip, type ZipArchive } from "./_zip.ts";

/** Largest `data.pkl`. */
export const MAX_PICKLE: number = 32 * 1024 * 1024;

/** Reads the values of an archive; storages stay in it until they are read. */
export async function readTorchZip(file: OpenFile): Promise<TorchValue> {
  const archive = await openZip(file);
  const root = rootOf(archive, file.path);
  const bytes = await readWhole(archive, `${root}data.pkl`, { file: file.path, most: MAX_PICKLE });
  const order = archive.entries.has(`${root}byteorder`)
    ? new TextDecoder().decode(await readWhole(archive, `${root}byteorder`, { file: file.path, most: 64 }))
    : "little";
  if (order !== "little" && order !== "big") {
    throw new FormatError(file.path, `expected the byte order "little" or "big", received "${order}"`);
  }
  const storages = new Map<string, StorageValue>();
  const { value } = unpickle(bytes, {
    file: file.path,
    persistent(id, fail) {
      const { key, kind, size } = storageRequest(id, fail);
      let found = storages.get(key);
      if (found === undefined) {
        const entry = archive.entries.get(`${root}data/${key}`);
        if (entry === undefined) throw fail("the key of a storage in the archive", key);
        if (entry.size !== size) throw fail(`${size} bytes in the storage "${key}"`, entry.size);
        const storage: TorchStorage = {
          key,
          file: file.path,
          size,
          bigEndian: order === "big",
          read: (offset, length) => archive.read(entry, offset, length),
        };
        found = new StorageValue(storage, kind);
        storages.set(key, found);
      }
      if (found.kind !== kind || found.storage.size !== size) {
        throw fail(`the ${found.storage.size} bytes and the class of the storage "${key}" as before`, size);
      }
      return found;
    },
  });
  return checkValue(value, file.path);
}

/** The folder in the archive that holds `data.pkl`: named as the file was when it was saved. */
function rootOf(archive: ZipArchive, file: string): string {
  const roots = [...archive.entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (roots.length !== 1) {
    throw new FormatError(file, `expected one "data.pkl" in the archive, received ${roots.length}`);
  }
  return roots[0]!.slice(0, -"data.pkl".length);
}

async function readWhole(
  archive: ZipArchive,
  name: string,
  limit: { file: string; most: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const entry = archive.entries.get(name)!;
  if (entry.size > limit.most) {
    throw new FormatError(
      limit.file,
      `expected "${name}" to have at most ${limit.most} bytes, received ${entry.size}`,
    );
  }
  return await archive.read(entry, 0, entry.size);
}
