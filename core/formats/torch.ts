/**
 * Files of `torch.save`: read without Python and without running anything, written so that
 * `torch.load(weights_only=True)` takes them.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import { type OpenFile, openFile } from "../files.ts";
import { elements, type HostTensor } from "../tensor.ts";
import { rowsOf, rowSpan } from "./_rows.ts";
import { isRowMajor } from "./_strided.ts";
import { readTorchLegacy } from "./_torch_legacy.ts";
import { TorchTensor, type TorchValue } from "./_torch_values.ts";
import { readTorchZip } from "./_torch_zip.ts";
import type { FileSpec, RowRange, TensorSource } from "./source.ts";

export { TorchDType, type TorchStorage, TorchTensor, TorchTuple, type TorchValue } from "./_torch_values.ts";
export { TorchFloat, type TorchInput, writeTorch } from "./_torch_write.ts";

/** An open torch file. Its tensors can be read until it is disposed of. */
export interface TorchFile extends Disposable {
  /** Path of the file. */
  readonly path: string;
  /** What was saved. */
  readonly value: TorchValue;
}

/**
 * Opens a file of `torch.save`, an archive or the old format. Tensors are read when asked for.
 *
 * Nothing in the file is run: names that are not those of tensors and plain data are refused.
 *
 * @throws {NotFoundError} when it is not there
 * @throws {FormatError} when it is damaged, or refers to anything else, by whatever way; with that name
 *
 * @example
 * ```ts ignore
 * using file = await openTorch("data_0.pt");
 * const sample = file.value as Map<string, TorchTensor>;
 * const ids = await sample.get("input_ids")!.read(); // i64[T]
 * ```
 */
export async function openTorch(path: string): Promise<TorchFile> {
  const file = await openFile(path);
  try {
    const value = await readValue(file);
    return { path, value, [Symbol.dispose]: () => file[Symbol.dispose]() };
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

/**
 * Opens a torch file that holds a state dict as named tensors. Entries that are no tensors are left out.
 *
 * @throws {NotFoundError} when it is not there
 * @throws {FormatError} when it is no torch file, or holds no dict with tensors
 */
export async function openTorchWeights(path: string): Promise<TensorSource> {
  const file = await openTorch(path);
  const tensors = new Map<string, TorchTensor>();
  if (file.value instanceof Map) {
    for (const [name, value] of file.value) {
      if (typeof name === "string" && value instanceof TorchTensor) tensors.set(name, value);
    }
  }
  if (tensors.size === 0) {
    file[Symbol.dispose]();
    const keys = file.value instanceof Map ? [...file.value.keys()].slice(0, 5).map((key) => `"${key}"`) : [];
    throw new FormatError(
      path,
      `expected a dict of tensors, received ${keys.length > 0 ? `one of ${keys.join(", ")}` : "other data"}`,
      keys.length > 0
        ? { hint: "If the weights are a level below, save that level as a file of its own" }
        : {},
    );
  }
  return new StateDict(file, tensors);
}

async function readValue(file: OpenFile): Promise<TorchValue> {
  const start = await file.read(0, Math.min(file.size, 2));
  if (start[0] === 0x50 && start[1] === 0x4b) return await readTorchZip(file);
  if (start[0] === 0x80) return await readTorchLegacy(file);
  throw new FormatError(file.path, "expected a file of torch.save, received one that begins otherwise");
}

class StateDict implements TensorSource {
  readonly #file: TorchFile;
  readonly #tensors: ReadonlyMap<string, TorchTensor>;

  constructor(file: TorchFile, tensors: ReadonlyMap<string, TorchTensor>) {
    this.#file = file;
    this.#tensors = tensors;
  }

  names(): readonly string[] {
    return [...this.#tensors.keys()];
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  spec(name: string): FileSpec {
    const { shape, dtype } = this.#tensor(name);
    if (dtype.host === undefined) {
      throw new FormatError(
        this.#file.path,
        `expected "${name}" to have a type that tensors in memory have, received ${dtype.name}`,
      );
    }
    return { shape, dtype: dtype.host };
  }

  async read(name: string): Promise<HostTensor> {
    this.spec(name);
    return await this.#tensor(name).read();
  }

  async readRange(name: string, rows: RowRange): Promise<HostTensor> {
    const { shape, dtype } = this.spec(name), tensor = this.#tensor(name);
    const span = rowSpan(shape, rows);
    if (span === null) {
      throw new FormatError(
        this.#file.path,
        `expected rows within [${shape.join(", ")}] of "${name}", received ${rows.start} to ${rows.end}`,
      );
    }
    // A view that is laid out otherwise may have its rows anywhere in the memory behind it.
    if (!isRowMajor(tensor)) return rowsOf(await tensor.read(), rows);
    const [from, to] = span, part = [to - from, ...shape.slice(1)];
    const view = new TorchTensor(tensor.storage, {
      dtype: tensor.dtype,
      shape: part,
      strides: tensor.strides,
      offset: tensor.offset + from * elements(shape.slice(1)),
    });
    return { shape: part, dtype, bytes: await view.readRaw() };
  }

  #tensor(name: string): TorchTensor {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) {
      throw new FormatError(
        this.#file.path,
        `expected a tensor "${name}", received ${this.#tensors.size} others`,
      );
    }
    return tensor;
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}
