/**
 * Weights spread over several files by an index (`model.safetensors.index.json`).
 *
 * @module
 */
import { dirname, join } from "node:path";
import { FormatError, NotFoundError } from "../errors.ts";
import { readText } from "../files.ts";
import type { HostTensor } from "../tensor.ts";
import { duplicateKey } from "./_json.ts";
import { rowsOf } from "./_rows.ts";
import type { FileSpec, RowRange, TensorSource } from "./source.ts";

const MAX_SHARDS = 10_000;

/**
 * Opens all files that an index names.
 *
 * @param path the index
 * @param open opens one of its files
 * @throws {FormatError} when a file is missing or outside the index's folder, or lacks a tensor that it should have
 */
export async function openShards(
  path: string,
  open: (path: string) => Promise<TensorSource>,
): Promise<TensorSource> {
  const map = await readIndex(path);
  const shards = new Map<string, TensorSource>();
  const source = new Shards(path, map, shards);
  try {
    for (const [name, file] of map) {
      let shard = shards.get(file);
      if (shard === undefined) {
        shard = await openShard(path, { name, file, open });
        shards.set(file, shard);
      }
      if (!shard.has(name)) {
        throw new FormatError(path, `expected the tensor "${name}" in "${file}", received a file without it`);
      }
    }
    return source;
  } catch (error) {
    source[Symbol.dispose]();
    throw error;
  }
}

async function openShard(
  path: string,
  shard: { name: string; file: string; open: (path: string) => Promise<TensorSource> },
): Promise<TensorSource> {
  try {
    return await shard.open(join(dirname(path), shard.file));
  } catch (cause) {
    if (!(cause instanceof NotFoundError)) throw cause;
    throw new FormatError(
      path,
      `expected the file "${shard.file}" of the tensor "${shard.name}" beside it, received no such file`,
      { cause, hint: "Download the missing file, or download the model again" },
    );
  }
}

async function readIndex(path: string): Promise<Map<string, string>> {
  const text = await readText(path);
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(path, `expected JSON, received ${(cause as Error).message}`, { cause });
  }
  const weights = isObject(root) ? root.weight_map : undefined;
  if (!isObject(weights)) {
    throw new FormatError(path, 'expected an object with "weight_map", received other JSON');
  }
  const twice = duplicateKey(text);
  if (twice !== null) throw new FormatError(path, `expected the key "${twice}" once, received it twice`);
  const map = new Map<string, string>();
  for (const [name, file] of Object.entries(weights)) {
    if (typeof file !== "string" || !staysInside(file)) {
      throw new FormatError(
        path,
        `expected "weight_map.${name}" to name a file in the same folder, received ${JSON.stringify(file)}`,
      );
    }
    map.set(name, file);
  }
  const count = new Set(map.values()).size;
  if (count > MAX_SHARDS) {
    throw new FormatError(path, `expected at most ${MAX_SHARDS} files, received ${count}`);
  }
  return map;
}

/** Whether a name leads nowhere but into its own folder, on every system. */
function staysInside(file: string): boolean {
  return /^[^\\:\0]+$/.test(file) &&
    file.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

class Shards implements TensorSource {
  readonly #path: string;
  readonly #map: ReadonlyMap<string, string>;
  readonly #shards: ReadonlyMap<string, TensorSource>;

  constructor(path: string, map: ReadonlyMap<string, string>, shards: ReadonlyMap<string, TensorSource>) {
    this.#path = path;
    this.#map = map;
    this.#shards = shards;
  }

  names(): readonly string[] {
    return [...this.#map.keys()];
  }

  has(name: string): boolean {
    return this.#map.has(name);
  }

  spec(name: string): FileSpec {
    return this.#shard(name).spec(name);
  }

  async read(name: string): Promise<HostTensor> {
    return await this.#shard(name).read(name);
  }

  async readRange(name: string, rows: RowRange): Promise<HostTensor> {
    const shard = this.#shard(name);
    return await (shard.readRange?.(name, rows) ?? rowsOf(await shard.read(name), rows));
  }

  #shard(name: string): TensorSource {
    const file = this.#map.get(name);
    if (file === undefined) {
      throw new FormatError(this.#path, `expected a tensor "${name}", received ${this.#map.size} others`);
    }
    return this.#shards.get(file)!;
  }

  [Symbol.dispose](): void {
    for (const shard of this.#shards.values()) shard[Symbol.dispose]();
  }
}
