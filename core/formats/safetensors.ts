/**
 * safetensors files: read lazily, tensor by tensor; written in one step, byte for byte as the reference library does.
 *
 * Source: https://github.com/huggingface/safetensors (the format's description).
 *
 * @module
 */
import { FormatError, WriteError } from "../errors.ts";
import { createAtomic, type OpenFile, openFile } from "../files.ts";
import { byteLength, type FileDType, type HostTensor, type Shape } from "../tensor.ts";
import {
  DTYPE_NAMES,
  type Entry,
  type Header,
  makeHeader,
  MAX_HEADER,
  parseHeader,
} from "./_safetensors_header.ts";
import { rowSpan } from "./_rows.ts";
import type { FileSpec, RowRange, TensorSource } from "./source.ts";

export type { RowRange } from "./source.ts";

/** An open safetensors file. */
export interface SafetensorsFile extends TensorSource {
  /** Path of the file. */
  readonly path: string;
  /** The file's free-form metadata. */
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * Reads some rows of a tensor and nothing else of the file.
   *
   * @throws {FormatError} when there is no such tensor, or it has not these rows
   */
  readRange(name: string, rows: RowRange): Promise<HostTensor>;
  /** A tensor's bytes, of whatever element type, with its shape and the type's name in the file. */
  readRaw(name: string): Promise<{ shape: Shape; dtype: string; bytes: Uint8Array<ArrayBuffer> }>;
}

/** What may be written: named tensors in memory, or a source whose tensors are read one at a time as they are written. */
export type TensorInput =
  | Iterable<readonly [string, HostTensor]>
  | AsyncIterable<readonly [string, HostTensor]>
  | Pick<TensorSource, "names" | "spec" | "read">
  | StreamedTensors;

/** Tensors whose bytes come in pieces, so that none need be in memory as a whole. */
export interface StreamedTensors extends Pick<TensorSource, "names" | "spec"> {
  /** The tensor's bytes, in order. */
  chunks(name: string): AsyncIterable<Uint8Array>;
}

/**
 * Opens a safetensors file and checks its header: every tensor in place, no gap, no overlap, nothing left over.
 *
 * @throws {NotFoundError} when it is not there
 * @throws {FormatError} when the header is wrong: with the key, what was expected and what found
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await openFile(path);
  try {
    if (file.size < 8) {
      throw new FormatError(path, `expected a length of 8 bytes, received ${file.size} bytes`);
    }
    const first = await file.read(0, 8);
    const length = Number(new DataView(first.buffer).getBigUint64(0, true));
    if (length > MAX_HEADER) {
      throw new FormatError(
        path,
        `expected a header of at most ${MAX_HEADER} bytes, received a length of ${length}`,
      );
    }
    if (length < 2 || length > file.size - 8) {
      throw new FormatError(
        path,
        `expected a header of 2 to ${file.size - 8} bytes, received a length of ${length}`,
      );
    }
    const dataBytes = file.size - 8 - length;
    const header = parseHeader(await file.read(8, length), { file: path, dataBytes });
    return new Reader(file, header, 8 + length);
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

/**
 * Writes a safetensors file in one step. Tensors are laid out by the size of their elements, then by name, as the
 * reference library does; so the order in which they are given does not matter, and equal tensors make equal files.
 *
 * A source is asked for one tensor at a time; tensors given in an iterable are all in memory at once.
 *
 * @throws {WriteError} when a name comes twice, a tensor's bytes do not fit its shape, or the file cannot be written
 */
export async function writeSafetensors(
  path: string,
  tensors: TensorInput,
  options: { readonly metadata?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const source = "names" in tensors ? tensors : await gathered(path, tensors);
  const entries = [...source.names()].map((name) => {
    const { shape, dtype } = source.spec(name);
    return [name, { shape, dtype, bytes: byteLength({ shape, dtype }) }] as const;
  });
  const ranks = Object.keys(DTYPE_NAMES) as FileDType[];
  entries.sort(([a, x], [b, y]) => ranks.indexOf(x.dtype) - ranks.indexOf(y.dtype) || (a < b ? -1 : 1));
  const header = makeHeader(entries, options.metadata);
  if (header.length - 8 > MAX_HEADER) {
    throw new WriteError(
      path,
      `expected a header of at most ${MAX_HEADER} bytes, received ${header.length - 8}`,
    );
  }
  await using file = await createAtomic(path);
  await file.write(header);
  for (const [name, { bytes }] of entries) {
    let written = 0;
    for await (const chunk of chunksOf(source, name)) {
      written += chunk.length;
      if (written > bytes) break;
      await file.write(chunk);
    }
    if (written !== bytes) {
      throw new WriteError(path, `expected ${bytes} bytes for "${name}", received ${written}`);
    }
  }
  await file.commit();
}

async function* chunksOf(
  source: Pick<TensorSource, "read"> | StreamedTensors,
  name: string,
): AsyncGenerator<Uint8Array, void, void> {
  if ("chunks" in source) yield* source.chunks(name);
  else yield (await source.read(name)).bytes;
}

async function gathered(
  path: string,
  tensors: Iterable<readonly [string, HostTensor]> | AsyncIterable<readonly [string, HostTensor]>,
): Promise<Pick<TensorSource, "names" | "spec" | "read">> {
  const all = new Map<string, HostTensor>();
  for await (const [name, tensor] of tensors) {
    if (all.has(name)) throw new WriteError(path, `expected each name once, received "${name}" twice`);
    if (name === "__metadata__") {
      throw new WriteError(path, `expected another name than "${name}", which is the format's`);
    }
    all.set(name, tensor);
  }
  return {
    names: () => [...all.keys()],
    spec: (name) => all.get(name)!,
    read: (name) => Promise.resolve(all.get(name)!),
  };
}

class Reader implements SafetensorsFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly #file: OpenFile;
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #start: number;

  constructor(file: OpenFile, header: Header, start: number) {
    this.#file = file;
    this.#entries = header.entries;
    this.#start = start;
    this.metadata = header.metadata;
  }

  get path(): string {
    return this.#file.path;
  }

  names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  spec(name: string): FileSpec {
    const { shape, dtype, dtypeName } = this.#entry(name);
    if (dtype === undefined) {
      const known = Object.values(DTYPE_NAMES).join(", ");
      throw new FormatError(
        this.path,
        `expected "${name}" to have a type among ${known}, received ${dtypeName}`,
      );
    }
    return { shape, dtype };
  }

  async read(name: string): Promise<HostTensor> {
    return { ...this.spec(name), bytes: (await this.readRaw(name)).bytes };
  }

  async readRaw(name: string): Promise<{ shape: Shape; dtype: string; bytes: Uint8Array<ArrayBuffer> }> {
    const { shape, dtypeName, begin, end } = this.#entry(name);
    return { shape, dtype: dtypeName, bytes: await this.#file.read(this.#start + begin, end - begin) };
  }

  async readRange(name: string, rows: RowRange): Promise<HostTensor> {
    const { shape, dtype } = this.spec(name);
    const { begin, end } = this.#entry(name);
    const [count, ...rest] = shape, span = rowSpan(shape, rows);
    if (span === null) {
      throw new FormatError(
        this.path,
        `expected rows within [${shape.join(", ")}] of "${name}", received ${rows.start} to ${rows.end}`,
      );
    }
    const [from, to] = span;
    const stride = count ? (end - begin) / count : 0;
    const bytes = await this.#file.read(this.#start + begin + from * stride, (to - from) * stride);
    return { shape: [to - from, ...rest], dtype, bytes };
  }

  #entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw missingTensor(this.path, name, this.#entries.size);
    return entry;
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

function missingTensor(path: string, name: string, count: number): FormatError {
  return new FormatError(path, `expected a tensor "${name}", received ${count} others`);
}
