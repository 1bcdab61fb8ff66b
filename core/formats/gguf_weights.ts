/**
 * The weights of a GGUF file as transformers names and orders them.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import { type BlockDType, elements, type HostTensor, type StoredTensor } from "../tensor.ts";
import { type GgufFile, type GgufOptions, openGguf } from "./gguf.ts";
import { ggufArchitecture, ggufConfig } from "./gguf_config.ts";
import { GGUF_ARCHITECTURES, hubName, ROPE_FACTORS } from "./_gguf_names.ts";
import { rowsOf, rowSpan } from "./_rows.ts";
import type { FileSpec, RowRange, TensorSource } from "./source.ts";

/**
 * Opens a model's weights. Tensors of an architecture that is not known here keep the file's names.
 *
 * @throws {NotFoundError} when the file is not there
 * @throws {FormatError} when it is damaged
 */
export async function openGgufWeights(path: string, options: GgufOptions = {}): Promise<TensorSource> {
  const file = await openGguf(path, options);
  try {
    const architecture = ggufArchitecture(file);
    return architecture === null ? file : new Renamed(file, GGUF_ARCHITECTURES[architecture]!.interleaved);
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

/** Reads the config that a GGUF file's metadata stands for. */
export async function readGgufConfig(path: string): Promise<Record<string, unknown>> {
  using file = await openGguf(path);
  return await ggufConfig(file);
}

class Renamed implements TensorSource {
  readonly #file: GgufFile;
  readonly #interleaved: boolean;
  /** Names in the file by those that transformers has. */
  readonly #names = new Map<string, string>();

  constructor(file: GgufFile, interleaved: boolean) {
    this.#file = file;
    this.#interleaved = interleaved;
    for (const name of file.names()) {
      if (name === ROPE_FACTORS) continue;
      const own = hubName(name);
      if (this.#names.has(own)) {
        throw new FormatError(file.path, `expected "${own}" once, received it under two names`);
      }
      this.#names.set(own, name);
    }
  }

  names(): readonly string[] {
    return [...this.#names.keys()];
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  spec(name: string): FileSpec {
    return this.#file.spec(this.#named(name));
  }

  async read(name: string): Promise<HostTensor> {
    const inner = this.#named(name), rows = this.#headRows(inner);
    const tensor = await this.#file.read(inner);
    return rows === null ? tensor : split(tensor, rows);
  }

  async readRange(name: string, range: RowRange): Promise<HostTensor> {
    const inner = this.#named(name), rows = this.#headRows(inner);
    const span = rowSpan(this.spec(name).shape, range);
    if (rows === null || span === null) return await this.#file.readRange(inner, range);
    // Rows change places within a head: heads are read whole.
    const [from, to] = span, start = Math.floor(from / rows) * rows, end = Math.ceil(to / rows) * rows;
    const heads = split(await this.#file.readRange(inner, { start, end }), rows);
    return rowsOf(heads, { start: from - start, end: to - start });
  }

  blocks(name: string): BlockDType | null {
    return this.#file.blocks(this.#named(name));
  }

  async readBlocks(name: string): Promise<StoredTensor> {
    const inner = this.#named(name), rows = this.#headRows(inner);
    const tensor = await this.#file.readBlocks(inner);
    return rows === null ? tensor : split(tensor, rows);
  }

  #named(name: string): string {
    const inner = this.#names.get(name);
    if (inner === undefined) {
      throw new FormatError(
        this.#file.path,
        `expected a tensor "${name}", received ${this.#names.size} others`,
      );
    }
    return inner;
  }

  /** Rows of a head where they are reordered; `null` where they are not. */
  #headRows(name: string): number | null {
    const [, part] = /^blk\.\d+\.attn_([qk])\.(?:weight|bias)$/.exec(name) ?? [];
    if (!this.#interleaved || part === undefined) return null;
    const { metadata, path } = this.#file, field = "llama.attention.head_count";
    const all = metadata.get(field), heads = part === "q" ? all : metadata.get(`${field}_kv`) ?? all;
    const [count = 0] = this.#file.spec(name).shape, rows = count / Number(heads);
    if (typeof heads === "object" || !Number.isInteger(rows / 2)) {
      throw new FormatError(
        path,
        `expected "${name}" to have an even number of rows for each of "${field}", received ${count} for ${heads}`,
      );
    }
    return rows;
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

/** Whole heads of `rows` rows each: the first and second entries of its pairs apart, as transformers has them. */
function split<T extends HostTensor | StoredTensor>(tensor: T, rows: number): T {
  const [count = 0] = tensor.shape, size = elements(tensor.shape) === 0 ? 0 : tensor.bytes.length / count;
  const bytes = new Uint8Array(tensor.bytes.length), half = rows / 2;
  for (let head = 0; head < count; head += rows) {
    for (let i = 0; i < half; i++) {
      for (const side of [0, 1]) {
        const from = (head + 2 * i + side) * size;
        bytes.set(tensor.bytes.subarray(from, from + size), (head + side * half + i) * size);
      }
    }
  }
  return { ...tensor, bytes };
}
