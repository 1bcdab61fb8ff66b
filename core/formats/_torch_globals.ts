/**
 * The names that a torch file may refer to, and what each stands for. A name that is not here ends the reading; none
 * is ever looked up anywhere.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import { extent } from "./_strided.ts";
import {
  TORCH_DTYPES,
  TorchDType,
  type TorchStorage,
  TorchTensor,
  TorchTuple,
  type TorchValue,
} from "./_torch_values.ts";

/** A class of storages: what its elements are, or undefined for plain bytes. */
export class StorageClass {
  /** @param dtype undefined: the count is in bytes, and each tensor says its own type */
  constructor(readonly dtype: TorchDType | undefined) {}
}

/** A storage as a persistent id gives it, with its class. */
export class StorageValue {
  /** Pairs them. */
  constructor(readonly storage: TorchStorage, readonly kind: StorageClass) {}
}

/** A name that may be called: which of the functions in this file that means. */
export class Callable {
  /** @param call makes a value of the arguments */
  constructor(readonly name: string, readonly call: (args: readonly unknown[], fail: Fail) => unknown) {}
}

/** Makes an error of what was expected and received. */
export type Fail = (expected: string, received: unknown) => FormatError;

/** A dict that may be given attributes (which are dropped). */
export class OrderedMap extends Map<TorchValue, TorchValue> {}

const STORAGES: Readonly<Record<string, string>> = {
  DoubleStorage: "float64",
  FloatStorage: "float32",
  HalfStorage: "float16",
  BFloat16Storage: "bfloat16",
  LongStorage: "int64",
  IntStorage: "int32",
  ShortStorage: "int16",
  CharStorage: "int8",
  ByteStorage: "uint8",
  BoolStorage: "bool",
  ComplexFloatStorage: "complex64",
  ComplexDoubleStorage: "complex128",
};

/**
 * What a name stands for.
 *
 * @throws {FormatError} with the name, when it is not one of tensors and plain data
 */
export function resolveGlobal(module: string, name: string, file: string): unknown {
  const own = known().get(`${module} ${name}`);
  if (own !== undefined) return own;
  throw new FormatError(
    file,
    `expected only tensors and plain data, received the global "${module}.${name}"`,
    {
      hint: "Such a file can run code when Python loads it; ask its maker for safetensors",
    },
  );
}

let globals: ReadonlyMap<string, unknown> | undefined;

function known(): ReadonlyMap<string, unknown> {
  return globals ??= makeGlobals();
}

function makeGlobals(): ReadonlyMap<string, unknown> {
  const map = new Map<string, unknown>();
  for (const [name, dtype] of TORCH_DTYPES) map.set(`torch ${name}`, dtype);
  for (const [name, dtype] of Object.entries(STORAGES)) {
    map.set(`torch ${name}`, new StorageClass(TORCH_DTYPES.get(dtype)!));
  }
  map.set("torch.storage UntypedStorage", new StorageClass(undefined));
  map.set("torch UntypedStorage", new StorageClass(undefined));
  const call = (names: string[], body: Callable["call"]) => {
    for (const name of names) map.set(name, new Callable(name.replace(" ", "."), body));
  };
  call(["torch._utils _rebuild_tensor_v2"], rebuildTensor);
  call(["torch._utils _rebuild_tensor_v3"], rebuildTensor);
  call(["torch._utils _rebuild_tensor"], rebuildTensor);
  call(
    ["torch._utils _rebuild_parameter", "torch._utils _rebuild_parameter_with_state"],
    ([tensor], fail) => {
      if (!(tensor instanceof TorchTensor)) throw fail("a tensor in a parameter", tensor);
      return tensor;
    },
  );
  call(["torch Size"], ([items], fail) => {
    if (!(items instanceof TorchTuple)) throw fail("a tuple in a size", items);
    return items;
  });
  call(["torch device"], ([type, index], fail) => {
    if (typeof type !== "string") throw fail("a text in a device", type);
    return index === undefined ? type : `${type}:${index}`;
  });
  call(["collections OrderedDict"], ([items], fail) => new OrderedMap(pairs(items, fail)));
  call(["collections Counter"], ([items], fail) => new Map(pairs(items, fail)));
  call(
    ["builtins set", "__builtin__ set", "builtins frozenset", "__builtin__ frozenset"],
    ([items], fail) => {
      if (items === undefined) return new Set();
      if (!Array.isArray(items)) throw fail("a list in a set", items);
      return new Set(items.map((item) => hashable(item, fail)));
    },
  );
  call(["_codecs encode"], ([text, coding], fail) => {
    const latin = coding === "latin1" || coding === "latin-1";
    if (typeof text !== "string" || !latin) throw fail('a text and "latin1" as bytes', coding);
    return Uint8Array.from(text, (char) => {
      if (char > "\xff") throw fail("characters up to 255 as bytes", char);
      return char.charCodeAt(0);
    });
  });
  return map;
}

/** A value that may be a key: Python hashes no list, dict, set. */
export function hashable(value: unknown, fail: Fail): TorchValue {
  const fits = value === null || ["string", "number", "bigint", "boolean"].includes(typeof value) ||
    value instanceof TorchTuple || value instanceof Uint8Array || value instanceof TorchDType;
  if (!fits) throw fail("a text, number or tuple as a key", value);
  return value as TorchValue;
}

function pairs(items: unknown, fail: Fail): [TorchValue, TorchValue][] {
  if (items === undefined) return [];
  if (items instanceof Map) return [...items];
  if (!Array.isArray(items)) throw fail("a list of pairs in a dict", items);
  return items.map((item: unknown) => {
    const pair = item instanceof TorchTuple ? item.items : item;
    if (!Array.isArray(pair) || pair.length !== 2) throw fail("pairs in a dict", item);
    return [hashable(pair[0], fail), pair[1] as TorchValue];
  });
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`; v3 has the element type behind them. */
function rebuildTensor(args: readonly unknown[], fail: Fail): TorchTensor {
  const [from, offset, size, stride, , , type] = args;
  if (!(from instanceof StorageValue)) throw fail("a storage behind a tensor", from);
  const { storage, kind } = from;
  const dtype = kind.dtype ?? type;
  if (!(dtype instanceof TorchDType)) throw fail("an element type of a tensor", type);
  if (type instanceof TorchDType && type !== dtype) throw fail(`elements of ${dtype.name}`, type.name);
  const shape = counts(size);
  const strides = counts(stride);
  if (shape === null || shape.length > 64) throw fail("a tuple of sizes of a tensor", size);
  if (strides === null || strides.length !== shape.length) {
    throw fail(`a tuple of ${shape.length} strides`, stride);
  }
  if (!isCount(offset)) throw fail("an offset of a tensor", offset);
  const end = shape.includes(0) ? 0 : offset + extent({ shape, strides });
  const count = shape.reduce((product, axis) => product * axis, dtype.itemSize);
  if (!Number.isSafeInteger(end * dtype.itemSize) || !Number.isSafeInteger(count)) {
    throw fail("a tensor below 2^53 bytes", size);
  }
  if (end * dtype.itemSize > storage.size) {
    throw fail(
      `a tensor that ends within the ${storage.size} bytes of the storage "${storage.key}"`,
      end * dtype.itemSize,
    );
  }
  return new TorchTensor(storage, { dtype, shape, strides, offset });
}

function counts(value: unknown): number[] | null {
  return value instanceof TorchTuple && value.items.every(isCount) ? value.items as number[] : null;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
