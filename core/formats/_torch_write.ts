/**
 * Writing torch files.
 *
 * @module
 */
import { basename } from "node:path";
import { WriteError } from "../errors.ts";
import { createAtomic } from "../files.ts";
import { byteLength, BYTES, type FileDType, type HostTensor, type Shape } from "../tensor.ts";
import { PickleWriter } from "./_pickle_write.ts";
import { rowMajor } from "./_strided.ts";
import { fingerprint } from "./_torch_fingerprint.ts";
import { TORCH_DTYPES, TorchDType, TorchTensor, TorchTuple } from "./_torch_values.ts";
import { ZipWriter } from "./_zip_write.ts";

/** A number that is a float in Python even when it has no fraction. */
export class TorchFloat {
  /** The number. */
  readonly value: number;

  /** Marks a number. */
  constructor(value: number) {
    this.value = value;
  }
}

/**
 * What {@linkcode writeTorch} takes. A number without a fraction becomes an int, unless it is a
 * {@linkcode TorchFloat}; a map or a plain object becomes a dict; an object that is there twice, one object again.
 */
export type TorchInput =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | HostTensor
  | TorchFloat
  | TorchDType
  | TorchTensor
  | TorchTuple<TorchInput>
  | readonly TorchInput[]
  | ReadonlyMap<TorchInput, TorchInput>
  | ReadonlySet<TorchInput>
  | { readonly [key: string]: TorchInput };

/** Elements that wait to be written. */
interface Storage {
  readonly size: number;
  read(): Promise<Uint8Array>;
}

const MAX_DEPTH = 256;
/** Entries that Python's pickler adds to a list or dict at once. */
const BATCH = 1000;

const STORAGE_CLASSES: Readonly<Partial<Record<string, string>>> = {
  float64: "DoubleStorage",
  float32: "FloatStorage",
  float16: "HalfStorage",
  bfloat16: "BFloat16Storage",
  int64: "LongStorage",
  int32: "IntStorage",
  int16: "ShortStorage",
  int8: "CharStorage",
  uint8: "ByteStorage",
  bool: "BoolStorage",
  complex64: "ComplexFloatStorage",
  complex128: "ComplexDoubleStorage",
};

/**
 * Writes a file that `torch.load(weights_only=True)` reads, in one step; byte for byte what `torch.save` makes of
 * the same values.
 *
 * @param options `compress`: deflate what tensors hold. `torch.load` takes it, but not with `mmap=True`
 * @throws {WriteError} when a value is of no such kind, a tensor's bytes do not fit its shape, or the file cannot be
 * written
 */
export async function writeTorch(
  path: string,
  value: TorchInput,
  options: { readonly compress?: boolean } = {},
): Promise<void> {
  const pickler = new Pickler(path);
  pickler.value(value, 0);
  const records: [string, number][] = [];
  await using file = await createAtomic(path);
  const archive = new ZipWriter(file, options);
  // The folder in the archive is named as the file is, without its ending.
  const root = basename(path).replace(/\.[^.]*$/, "") || "archive";
  const add = async (name: string, data: Uint8Array | string) => {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    records.push([name, await archive.add(`${root}/${name}`, bytes)]);
  };
  await add("data.pkl", pickler.finish());
  await add(".format_version", "1");
  await add(".storage_alignment", "64");
  await add("byteorder", "little");
  for (const [i, storage] of pickler.storages.entries()) {
    const bytes = await storage.read();
    if (bytes.length !== storage.size) {
      throw new WriteError(path, `expected ${storage.size} bytes for a tensor, received ${bytes.length}`);
    }
    await add(`data/${i}`, bytes);
  }
  await add("version", "3\n");
  await add(".data/serialization_id", fingerprint(records));
  await archive.finish();
  await file.commit();
}

class Pickler {
  readonly storages: Storage[] = [];
  readonly #out = new PickleWriter();
  readonly #keys = new Map<ArrayBufferLike | object, { key: string; dtype: TorchDType }>();
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  finish(): Uint8Array {
    return this.#out.finish();
  }

  value(value: TorchInput, depth: number): void {
    const out = this.#out;
    if (depth > MAX_DEPTH) throw this.#fail(`values at most ${MAX_DEPTH} deep`, "deeper ones");
    if (value === null) out.op("N");
    else if (value === true) out.op("\x88");
    else if (value === false) out.op("\x89");
    else if (typeof value === "string") out.text(value);
    else if (typeof value === "bigint") out.integer(value);
    else if (typeof value === "number") this.#number(value);
    else if (typeof value !== "object") throw this.#fail("a tensor or plain data", typeof value);
    else if (!out.again(value)) this.#object(value, depth);
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) this.#out.integer(value);
    else this.#out.float(value);
  }

  #object(value: Exclude<TorchInput, null | boolean | number | bigint | string>, depth: number): void {
    const out = this.#out;
    if (value instanceof TorchFloat) out.float(value.value);
    else if (value instanceof TorchDType) out.global("torch", value.name);
    else if (value instanceof TorchTensor) this.#savedTensor(value);
    else if (isHostTensor(value)) this.#hostTensor(value);
    else if (value instanceof Uint8Array) this.#bytes(value);
    else if (value instanceof TorchTuple) {
      out.tuple(
        value.items.length,
        () => value.items.forEach((item: TorchInput) => this.value(item, depth + 1)),
      );
    } else if (Array.isArray(value)) this.#list(value as readonly TorchInput[], { memo: value, depth });
    else if (value instanceof Set) {
      out.global("__builtin__", "set");
      out.tuple(1, () => this.#list([...value as Set<TorchInput>], { memo: undefined, depth })).op("R").put(
        value,
      );
    } else if (value instanceof Map) this.#dict(value as Map<TorchInput, TorchInput>, value, depth);
    else if (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null) {
      this.#dict(new Map(Object.entries(value as Record<string, TorchInput>)), value, depth);
    } else throw this.#fail("a tensor or plain data", `a ${(value as object).constructor.name}`);
  }

  #list(items: readonly TorchInput[], at: { memo: unknown; depth: number }): void {
    const out = this.#out.op("]").put(at.memo);
    if (items.length === 1) {
      this.value(items[0]!, at.depth + 1);
      out.op("a");
      return;
    }
    for (let from = 0; from < items.length; from += BATCH) {
      out.op("(");
      for (const item of items.slice(from, from + BATCH)) this.value(item, at.depth + 1);
      out.op("e");
    }
  }

  #dict(map: ReadonlyMap<TorchInput, TorchInput>, memo: unknown, depth: number): void {
    const out = this.#out.op("}").put(memo);
    const entries = [...map];
    for (let from = 0; from < entries.length; from += BATCH) {
      if (entries.length > 1) out.op("(");
      for (const [key, value] of entries.slice(from, from + BATCH)) {
        this.value(key, depth + 1);
        this.value(value, depth + 1);
      }
      out.op(entries.length > 1 ? "u" : "s");
    }
  }

  /** Bytes are the text of the same characters, encoded: protocol 2 has nothing else. */
  #bytes(value: Uint8Array): void {
    const text = Array.from(value, (byte) => String.fromCharCode(byte)).join("");
    const out = this.#out.global("_codecs", "encode");
    out.tuple(2, () => out.text(text).text("latin1")).op("R").put(value);
  }

  #hostTensor(tensor: HostTensor): void {
    const dtype = dtypeOf(tensor.dtype);
    if (tensor.bytes.length !== byteLength(tensor)) {
      throw this.#fail(
        `${byteLength(tensor)} bytes for ${tensor.dtype}[${tensor.shape.join(", ")}]`,
        `${tensor.bytes.length}`,
      );
    }
    const storage = { size: tensor.bytes.length, read: () => Promise.resolve(tensor.bytes) };
    this.#tensor(tensor, { dtype, shape: tensor.shape, storage, memory: tensor.bytes });
  }

  #savedTensor(tensor: TorchTensor): void {
    const { dtype, shape } = tensor;
    const size = shape.reduce((product, axis) => product * axis, dtype.itemSize);
    this.#tensor(tensor, { dtype, shape, storage: { size, read: () => tensor.readRaw() }, memory: tensor });
  }

  #tensor(
    object: object,
    tensor: { dtype: TorchDType; shape: Shape; storage: Storage; memory: object },
  ): void {
    const { dtype, shape, storage } = tensor;
    const out = this.#out;
    const storageClass = STORAGE_CLASSES[dtype.name];
    out.global("torch._utils", storageClass === undefined ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
    const key = this.#storageKey(tensor);
    out.op("(").op("(").text("storage");
    if (storageClass === undefined) out.global("torch.storage", "UntypedStorage");
    else out.global("torch", storageClass);
    out.text(key).text("cpu").integer(
      storageClass === undefined ? storage.size : storage.size / dtype.itemSize,
    );
    out.op("t").put().op("Q").integer(0);
    for (const sizes of [shape, rowMajor(shape)]) {
      out.tuple(sizes.length, () => sizes.forEach((size) => out.integer(size)));
    }
    out.op("\x89").global("collections", "OrderedDict").op(")").op("R").put();
    if (storageClass === undefined) out.global("torch", dtype.name);
    out.op("t").put().op("R").put(object);
  }

  /** The same bytes given for two tensors are one storage. */
  #storageKey(tensor: { dtype: TorchDType; storage: Storage; memory: object }): string {
    const known = this.#keys.get(tensor.memory);
    if (known !== undefined && known.dtype === tensor.dtype) return known.key;
    const key = String(this.storages.length);
    this.storages.push(tensor.storage);
    this.#keys.set(tensor.memory, { key, dtype: tensor.dtype });
    return key;
  }

  #fail(expected: string, received: string): WriteError {
    return new WriteError(this.#path, `expected ${expected}, received ${received}`);
  }
}

function isHostTensor(value: object): value is HostTensor {
  const { shape, dtype, bytes } = value as Partial<HostTensor>;
  return bytes instanceof Uint8Array && Array.isArray(shape) && dtype !== undefined &&
    Object.hasOwn(BYTES, dtype);
}

function dtypeOf(dtype: FileDType): TorchDType {
  return [...TORCH_DTYPES.values()].find((torch) => torch.host === dtype)!;
}
