/**
 * The header of a safetensors file: checked as strictly as its format allows, made as the reference library makes it.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import { BYTES, type FileDType, type Shape } from "../tensor.ts";
import { duplicateKey } from "./_json.ts";

/** Largest header that is read. Source: the format's own limit. */
export const MAX_HEADER = 100_000_000;

/** Names of element types in the file. The order is the one in which the reference library lays tensors out. */
export const DTYPE_NAMES: Readonly<Record<FileDType, string>> = {
  u64: "U64",
  i64: "I64",
  f64: "F64",
  f32: "F32",
  u32: "U32",
  i32: "I32",
  bf16: "BF16",
  f16: "F16",
  u16: "U16",
  i16: "I16",
  i8: "I8",
  u8: "U8",
  bool: "BOOL",
};

/** Bytes of element types that the format knows and {@linkcode FileDType} does not. */
const OTHER_BYTES: Readonly<Record<string, number>> = {
  C64: 8,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
};

const BY_NAME: ReadonlyMap<string, FileDType> = new Map(
  Object.entries(DTYPE_NAMES).map(([dtype, name]) => [name, dtype as FileDType]),
);

/** One tensor of a file. */
export interface Entry {
  readonly shape: Shape;
  /** Element type as the file names it. */
  readonly dtypeName: string;
  /** Element type; undefined for one that only the format knows. */
  readonly dtype: FileDType | undefined;
  /** Bytes of one element. */
  readonly itemSize: number;
  /** First byte, from the beginning of the data. */
  readonly begin: number;
  /** One past the last byte. */
  readonly end: number;
}

/** What a header says. */
export interface Header {
  readonly metadata: Readonly<Record<string, string>>;
  /** Tensors in the order of their data. */
  readonly entries: ReadonlyMap<string, Entry>;
}

/**
 * Reads a header's text.
 *
 * @param text the JSON
 * @param options `dataBytes`: bytes of the file behind the header; `file`: for messages
 * @throws {FormatError} unless the tensors fill the data exactly
 */
export function parseHeader(
  text: Uint8Array,
  options: { readonly file: string; readonly dataBytes: number },
): Header {
  const { file, dataBytes } = options;
  const root = parseJson(text, file);
  const metadata: Record<string, string> = {};
  const list: [string, Entry][] = [];
  for (const [key, value] of Object.entries(root)) {
    if (key === "__metadata__") readMetadata(value, metadata, file);
    else list.push([key, readEntry(key, value, file)]);
  }
  list.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  let previous = "";
  for (const [key, entry] of list) {
    if (entry.begin !== at) {
      const what = entry.begin < at ? `overlaps "${previous}"` : "leaves a gap";
      throw bad(file, key, `data that begins at ${at}`, `${entry.begin}, which ${what}`);
    }
    if (entry.end > dataBytes) {
      throw bad(file, key, `data within ${dataBytes} bytes`, `an end at ${entry.end}`);
    }
    at = entry.end;
    previous = key;
  }
  if (at !== dataBytes) {
    throw new FormatError(file, `expected ${at} bytes of data behind the header, received ${dataBytes}`);
  }
  return { metadata, entries: new Map(list) };
}

function parseJson(bytes: Uint8Array, file: string): Record<string, unknown> {
  let root: unknown;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    root = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(file, `expected JSON as the header, received ${(cause as Error).message}`, {
      cause,
    });
  }
  if (!isObject(root) || !text.startsWith("{")) {
    throw new FormatError(file, 'expected a header that begins with "{", received other JSON');
  }
  const twice = duplicateKey(text);
  if (twice !== null) throw bad(file, twice, "each key once", "it twice");
  return root;
}

function readMetadata(value: unknown, metadata: Record<string, string>, file: string): void {
  if (!isObject(value)) throw bad(file, "__metadata__", "an object of texts", show(value));
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw bad(file, `__metadata__.${key}`, "a text", show(text));
    // Not an assignment: a key may be "__proto__".
    Object.defineProperty(metadata, key, {
      value: text,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
}

function readEntry(key: string, value: unknown, file: string): Entry {
  if (!isObject(value)) throw bad(file, key, "an object with dtype, shape and data_offsets", show(value));
  const { dtype: dtypeName, shape, data_offsets: offsets } = value;
  const dtype = typeof dtypeName === "string" ? BY_NAME.get(dtypeName) : undefined;
  const itemSize = dtype !== undefined ? BYTES[dtype] : otherBytes(dtypeName);
  if (itemSize === undefined || typeof dtypeName !== "string") {
    const known = [...BY_NAME.keys(), ...Object.keys(OTHER_BYTES)].join(", ");
    throw bad(file, `${key}.dtype`, `one of ${known}`, show(dtypeName));
  }
  if (!Array.isArray(shape) || shape.length > 64 || !shape.every(isCount)) {
    throw bad(file, `${key}.shape`, "a list of at most 64 sizes", show(shape));
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw bad(file, `${key}.data_offsets`, "two offsets", show(offsets));
  }
  const [begin, end] = offsets as [number, number];
  let size = itemSize;
  for (const axis of shape as number[]) {
    size *= axis;
    if (!Number.isSafeInteger(size)) throw bad(file, `${key}.shape`, "a size below 2^53 bytes", show(shape));
  }
  if (end - begin !== size) {
    throw bad(
      file,
      `${key}.data_offsets`,
      `${size} bytes for ${dtypeName}[${shape.join(", ")}]`,
      `${end - begin}`,
    );
  }
  return { shape: shape as number[], dtypeName, dtype, itemSize, begin, end };
}

function otherBytes(name: unknown): number | undefined {
  return typeof name === "string" && Object.hasOwn(OTHER_BYTES, name) ? OTHER_BYTES[name] : undefined;
}

/** Makes a header: 8 bytes of length, JSON, spaces up to a multiple of 8. */
export function makeHeader(
  entries: Iterable<
    readonly [string, { readonly shape: Shape; readonly dtype: FileDType; readonly bytes: number }]
  >,
  metadata: Readonly<Record<string, string>> | undefined,
): Uint8Array {
  const items: string[] = [];
  if (metadata !== undefined && Object.keys(metadata).length > 0) {
    items.push(`"__metadata__":${JSON.stringify(metadata)}`);
  }
  let at = 0;
  for (const [name, { shape, dtype, bytes }] of entries) {
    const info = { dtype: DTYPE_NAMES[dtype], shape, data_offsets: [at, at + bytes] };
    items.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`);
    at += bytes;
  }
  const text = new TextEncoder().encode(`{${items.join(",")}}`);
  const length = Math.ceil(text.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(text, 8);
  return header;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function bad(file: string, key: string, expected: string, received: string): FormatError {
  return new FormatError(file, `expected "${key}" to have ${expected}, received ${received}`);
}
