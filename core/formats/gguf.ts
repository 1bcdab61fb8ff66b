/**
 * GGUF files: read lazily, tensor by tensor; what is quantised in blocks comes out as f32.
 *
 * Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (the format's description).
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import { type OpenFile, openFile } from "../files.ts";
import { type BlockDType, BYTES, type HostTensor, type StoredTensor } from "../tensor.ts";
import { type GgufHeader, type GgufTensor, readGgufHeader } from "./_gguf_header.ts";
import { type Dequantise, readableTypes } from "./_gguf_types.ts";
import { rowSpan } from "./_rows.ts";
import type { FileSpec, RowRange, TensorSource } from "./source.ts";

export type { GgufTensor } from "./_gguf_header.ts";
export type { Dequantise, QuantisedType } from "./_gguf_types.ts";

/** Bytes of quantised data that are in memory at a time, about. */
const PART = 4 * 1024 * 1024;

/** How quantised tensors are read. */
export interface GgufOptions {
  /** Widens blocks; without it, quantised tensors cannot be read. */
  readonly dequantise?: Dequantise;
}

/** An open GGUF file; its tensors have the names that it gives them. */
export interface GgufFile extends TensorSource {
  /** Path of the file. */
  readonly path: string;
  /** What it says of its model; whole numbers of 64 bits are `bigint`. */
  readonly metadata: ReadonlyMap<string, unknown>;
  /** Its tensors as they are stored, in its order. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** Reads some rows of a tensor and nothing else of the file. */
  readRange(name: string, rows: RowRange): Promise<HostTensor>;
  /** In which blocks a tensor is stored, of those that backends compute with. */
  blocks(name: string): BlockDType | null;
  /** Reads a tensor in such blocks as it is. */
  readBlocks(name: string): Promise<StoredTensor>;
}

/**
 * Opens a GGUF file and checks its header: every tensor of a known type, in a place of its own within the file.
 *
 * @throws {NotFoundError} when it is not there
 * @throws {FormatError} when it is damaged, of several parts, or big-endian
 */
export async function openGguf(path: string, options: GgufOptions = {}): Promise<GgufFile> {
  const file = await openFile(path);
  try {
    return new Reader(file, await readGgufHeader(file), options.dequantise);
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

class Reader implements GgufFile {
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  readonly #file: OpenFile;
  readonly #dequantise: Dequantise | undefined;

  constructor(file: OpenFile, header: GgufHeader, dequantise: Dequantise | undefined) {
    this.#file = file;
    this.metadata = header.metadata;
    this.tensors = header.tensors;
    this.#dequantise = dequantise;
  }

  get path(): string {
    return this.#file.path;
  }

  names(): readonly string[] {
    return [...this.tensors.keys()];
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  spec(name: string): FileSpec {
    const { shape, type } = this.#tensor(name);
    if (type.plain !== undefined) return { shape, dtype: type.plain };
    if (type.quantised !== undefined) return { shape, dtype: "f32" };
    const known = readableTypes().join(", ");
    throw new FormatError(
      this.path,
      `expected "${name}" to have a type among ${known}, received ${type.name}`,
      { hint: "Take a file that is quantised to one of these" },
    );
  }

  async read(name: string): Promise<HostTensor> {
    const { shape, dtype } = this.spec(name), { begin, bytes } = this.#tensor(name);
    return { shape, dtype, bytes: await this.#bytes(name, begin, bytes) };
  }

  async readRange(name: string, rows: RowRange): Promise<HostTensor> {
    const { shape, dtype } = this.spec(name), { begin, bytes } = this.#tensor(name);
    const [count, ...rest] = shape, span = rowSpan(shape, rows);
    if (span === null) {
      throw new FormatError(
        this.path,
        `expected rows within [${shape.join(", ")}] of "${name}", received ${rows.start} to ${rows.end}`,
      );
    }
    const [from, to] = span, stride = count ? bytes / count : 0;
    // Blocks go along the innermost axis: entries of a vector are no rows of whole blocks.
    const { type } = this.#tensor(name);
    if (type.entries > 1 && shape.length === 1) {
      const whole = await this.#bytes(name, begin, bytes);
      return { shape: [to - from], dtype, bytes: whole.slice(from * BYTES[dtype], to * BYTES[dtype]) };
    }
    return {
      shape: [to - from, ...rest],
      dtype,
      bytes: await this.#bytes(name, begin + from * stride, (to - from) * stride),
    };
  }

  blocks(name: string): BlockDType | null {
    const { shape, type: { quantised } } = this.#tensor(name);
    const kept = quantised === "q8_0" || quantised === "q4_0" || quantised === "q4_1";
    return kept && shape.length > 1 ? quantised : null;
  }

  async readBlocks(name: string): Promise<StoredTensor> {
    const { shape, begin, bytes, type } = this.#tensor(name), dtype = this.blocks(name);
    if (dtype === null) {
      throw new FormatError(this.path, `expected "${name}" in blocks, received ${type.name}`);
    }
    return { shape, dtype, bytes: await this.#file.read(begin, bytes) };
  }

  /** A piece of a tensor's data, of whole blocks, as it is or widened part by part. */
  async #bytes(name: string, begin: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const { type } = this.#tensor(name), { quantised } = type;
    if (quantised === undefined) return await this.#file.read(begin, length);
    if (this.#dequantise === undefined) {
      throw new FormatError(this.path, `expected "${name}" in a plain type, received ${type.name}`, {
        hint: "Open the file with what widens quantised weights (dequantise of kernels/mod.ts)",
      });
    }
    const target = new Float32Array(length / type.bytes * type.entries);
    const step = Math.floor(PART / type.bytes) * type.bytes;
    for (let at = 0; at < length; at += step) {
      const blocks = await this.#file.read(begin + at, Math.min(step, length - at));
      const first = at / type.bytes * type.entries, count = blocks.length / type.bytes * type.entries;
      await this.#dequantise(quantised, blocks, target.subarray(first, first + count));
    }
    return new Uint8Array(target.buffer);
  }

  #tensor(name: string): GgufTensor {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) {
      throw new FormatError(this.path, `expected a tensor "${name}", received ${this.tensors.size} others`);
    }
    return tensor;
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}
