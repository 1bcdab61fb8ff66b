/**
 * Persistent ids: how a pickle refers to a storage.
 *
 * @module
 */
import { type Fail, StorageClass } from "./_torch_globals.ts";
import { TorchTuple } from "./_torch_values.ts";

/** A reference to a storage. */
export interface StorageRequest {
  /** Its name. */
  readonly key: string;
  /** Its class. */
  readonly kind: StorageClass;
  /** Bytes it has. */
  readonly size: number;
  /** What stands behind the count: in the old format, the part of the storage that is meant, or null. */
  readonly view: unknown;
}

/**
 * Reads `("storage", class, key, location, count)`; the count is in elements, or in bytes for an untyped storage.
 *
 * @throws {FormatError} when it is anything else
 */
export function storageRequest(id: unknown, fail: Fail): StorageRequest {
  if (!(id instanceof TorchTuple) || id.items[0] !== "storage") throw fail("the id of a storage", id);
  const [, kind, key, location, count, view] = id.items as readonly unknown[];
  if (!(kind instanceof StorageClass)) throw fail("a class of storages", kind);
  // A key names a member of the archive: it may not lead out of its folder.
  if (typeof key !== "string" || !/^\w{1,64}$/.test(key)) throw fail("the key of a storage", key);
  if (typeof location !== "string") throw fail("the device of a storage", location);
  if (typeof count !== "number" || !Number.isSafeInteger(count) || count < 0) {
    throw fail("a count of elements", count);
  }
  const size = count * (kind.dtype?.itemSize ?? 1);
  if (!Number.isSafeInteger(size)) throw fail("a storage below 2^53 bytes", count);
  return { key, kind, size, view: view ?? null };
}
