/**
 * Torch's old format, without an archive: four pickles, the list of storage keys, and the storages one after another.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import type { OpenFile } from "../files.ts";
import { unpickle, type UnpickleOptions } from "./_pickle.ts";
import { checkValue } from "./_torch_check.ts";
import { type Fail, StorageValue } from "./_torch_globals.ts";
import { type StorageRequest, storageRequest } from "./_torch_storage.ts";
import { type TorchStorage, TorchTuple, type TorchValue } from "./_torch_values.ts";
import { MAX_PICKLE } from "./_torch_zip.ts";

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

/** A storage whose place in the file is known once all pickles are read. */
interface Placed {
  readonly size: number;
  readonly itemSize: number;
  place: number;
}

/** Reads the values of a file; storages stay in it until they are read. */
export async function readTorchLegacy(file: OpenFile): Promise<TorchValue> {
  const { path } = file;
  const bytes = await file.read(0, Math.min(file.size, MAX_PICKLE));
  const storages = new Map<string, Placed>();
  const views = new Map<string, StorageValue>();
  const plain: UnpickleOptions = {
    file: path,
    persistent: (id, fail) => {
      throw fail("no storage in the head of the file", id);
    },
  };
  const magic = unpickle(bytes, plain);
  if (magic.value !== MAGIC) {
    throw new FormatError(path, "expected the magic number of torch files, received another value");
  }
  const protocol = unpickle(bytes, { ...plain, at: magic.end });
  if (protocol.value !== PROTOCOL) {
    throw new FormatError(
      path,
      `expected the file's protocol ${PROTOCOL}, received ${String(protocol.value)}`,
    );
  }
  const system = unpickle(bytes, { ...plain, at: protocol.end });
  if (!(system.value instanceof Map)) {
    throw new FormatError(path, "expected a dict about the system, received other data");
  }
  const object = unpickle(bytes, {
    file: path,
    at: system.end,
    persistent: (id, fail) => view(file, { storages, views, request: storageRequest(id, fail), fail }),
  });
  const value = checkValue(object.value, path);
  const keys = unpickle(bytes, { ...plain, at: object.end });
  let at = keys.end;
  if (!Array.isArray(keys.value)) {
    throw new FormatError(path, "expected a list of storage keys, received other data");
  }
  for (const key of keys.value as unknown[]) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (storage === undefined || storage.place >= 0) {
      throw new FormatError(
        path,
        `expected the keys of storages that tensors use, once each, received ${String(key)}`,
      );
    }
    const count = Number(new DataView((await file.read(at, 8)).buffer).getBigInt64(0, true));
    if (count * storage.itemSize !== storage.size) {
      throw new FormatError(
        path,
        `expected ${storage.size / storage.itemSize} elements in the storage ${
          String(key)
        }, received ${count}`,
      );
    }
    storage.place = at + 8;
    at += 8 + storage.size;
    if (at > file.size) throw new FormatError(path, `expected ${at} bytes at least, received ${file.size}`);
  }
  for (const [key, { place }] of storages) {
    if (place < 0) throw new FormatError(path, `expected the storage ${key} in the file, received none`);
  }
  return value;
}

function view(
  file: OpenFile,
  from: {
    storages: Map<string, Placed>;
    views: Map<string, StorageValue>;
    request: StorageRequest;
    fail: Fail;
  },
): StorageValue {
  const { storages, views, request: { key, kind, size, view: part }, fail } = from;
  const itemSize = kind.dtype?.itemSize ?? 1;
  const known = storages.get(key) ?? { size, itemSize, place: -1 };
  if (known.size !== size || known.itemSize !== itemSize) {
    throw fail(`the ${known.size} bytes and the class of the storage ${key} as before`, size);
  }
  storages.set(key, known);
  let [name, begin, length] = [key, 0, size];
  if (part !== null) {
    const items: readonly unknown[] = part instanceof TorchTuple ? part.items : [];
    const [viewKey, offset, count] = items;
    const fits = typeof viewKey === "string" && isCount(offset) && isCount(count) &&
      (offset + count) * itemSize <= size;
    if (!fits) throw fail(`a part of the storage ${key}`, part);
    [name, begin, length] = [`${key}/${viewKey}`, offset * itemSize, count * itemSize];
  }
  const found = views.get(name);
  if (found !== undefined) {
    if (found.kind !== kind || found.storage.size !== length) {
      throw fail(`the ${found.storage.size} bytes and the class of the storage ${name} as before`, length);
    }
    return found;
  }
  const storage: TorchStorage = {
    key: name,
    file: file.path,
    size: length,
    bigEndian: false,
    read: (offset, bytes) => file.read(known.place + begin + offset, bytes),
  };
  const made = new StorageValue(storage, kind);
  views.set(name, made);
  return made;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
