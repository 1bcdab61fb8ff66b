/**
 * What a torch file can hold.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import { BYTES, elements, type FileDType, type HostTensor, type Shape } from "../tensor.ts";
import { extent, gather, isRowMajor, swapBytes } from "./_strided.ts";

/** An element type by torch's own name, as a value: `float32`, `bfloat16`. */
export class TorchDType {
  /** Torch's name. */
  readonly name: string;
  /** Bytes of one element. */
  readonly itemSize: number;
  /** The type of a tensor in memory; undefined where there is none, as for `complex64` and `float8_e4m3fn`. */
  readonly host: FileDType | undefined;

  /** Makes the value. */
  constructor(name: string, itemSize: number, host?: FileDType) {
    this.name = name;
    this.itemSize = itemSize;
    this.host = host;
  }
}

/** Torch's element types by name. */
export const TORCH_DTYPES: ReadonlyMap<string, TorchDType> = new Map([
  ...Object.entries<FileDType>({
    float64: "f64",
    float32: "f32",
    float16: "f16",
    bfloat16: "bf16",
    int64: "i64",
    int32: "i32",
    int16: "i16",
    int8: "i8",
    uint64: "u64",
    uint32: "u32",
    uint16: "u16",
    uint8: "u8",
    bool: "bool",
  }).map(([name, host]) => new TorchDType(name, BYTES[host], host)),
  new TorchDType("complex128", 16),
  new TorchDType("complex64", 8),
  new TorchDType("complex32", 4),
  ...["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"].map((name) =>
    new TorchDType(name, 1)
  ),
].map((dtype) => [dtype.name, dtype]));

/** A Python tuple: a list that can be told from a list. */
export class TorchTuple<Item = TorchValue> {
  /** Its items. */
  readonly items: readonly Item[];

  /** Makes a tuple. */
  constructor(items: readonly Item[]) {
    this.items = items;
  }
}

/**
 * What a torch file holds: dicts (ordered ones and counters too) are maps, integers beyond 2^53 - 1 are bigint,
 * `bytes` is an array, sizes are tuples, a parameter is its tensor.
 */
export type TorchValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | TorchDType
  | TorchTensor
  | TorchTuple
  | TorchValue[]
  | Map<TorchValue, TorchValue>
  | Set<TorchValue>;

/** Memory that tensors are views of. */
export interface TorchStorage {
  /** Its name in the file. Tensors of equal keys share memory. */
  readonly key: string;
  /** Path of the file. */
  readonly file: string;
  /** Bytes it has. */
  readonly size: number;
  /** Whether the elements' bytes come in big-endian order. */
  readonly bigEndian: boolean;
  /** Reads some of its bytes. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** What a view may be larger than the memory behind it, unless that memory is large itself. */
const MAX_EXPANDED = 64 * 1024 * 1024;

/** A tensor in a torch file: a view of a storage, read on demand. */
export class TorchTensor {
  /** Element type. */
  readonly dtype: TorchDType;
  /** Axes, outermost first. */
  readonly shape: Shape;
  /** Distance between neighbours along each axis, in elements. */
  readonly strides: readonly number[];
  /** First element in the storage. */
  readonly offset: number;
  /** The memory it is a view of. */
  readonly storage: TorchStorage;

  /** Makes a view, which must lie within the storage. */
  constructor(
    storage: TorchStorage,
    view: { dtype: TorchDType; shape: Shape; strides: readonly number[]; offset: number },
  ) {
    this.storage = storage;
    this.dtype = view.dtype;
    this.shape = view.shape;
    this.strides = view.strides;
    this.offset = view.offset;
  }

  /**
   * Reads its elements in row-major order.
   *
   * @throws {FormatError} when no tensor in memory has this element type, or the file is damaged or closed
   */
  async read(): Promise<HostTensor> {
    if (this.dtype.host === undefined) {
      throw new FormatError(
        this.storage.file,
        `expected elements of a type that tensors in memory have, received ${this.dtype.name}`,
      );
    }
    return { shape: this.shape, dtype: this.dtype.host, bytes: await this.readRaw() };
  }

  /**
   * Reads its elements' bytes, little-endian, in row-major order; complex numbers as pairs.
   *
   * @throws {FormatError} when the file is damaged or closed, or the view repeats little memory very often
   */
  async readRaw(): Promise<Uint8Array<ArrayBuffer>> {
    const { storage, dtype: { itemSize, name } } = this;
    const layout = { shape: this.shape, strides: this.strides };
    const size = elements(this.shape) * itemSize;
    if (size > Math.max(MAX_EXPANDED, storage.size * 16)) {
      throw new FormatError(
        storage.file,
        `expected a tensor of at most 16 times its memory of ${storage.size} bytes, received ${size} bytes`,
      );
    }
    if (size === 0) return new Uint8Array();
    const bytes = await storage.read(this.offset * itemSize, extent(layout) * itemSize);
    if (storage.bigEndian) swapBytes(bytes, name.startsWith("complex") ? itemSize / 2 : itemSize);
    return isRowMajor(layout) ? bytes : gather(bytes, itemSize, layout);
  }
}
