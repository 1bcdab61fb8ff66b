/**
 * numpy's array files: versions 1 to 3 read; written byte for byte as numpy 2 does.
 *
 * Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 *
 * @module
 */
import { FormatError, WriteError } from "../errors.ts";
import { type OpenFile, openFile, writeFileAtomic } from "../files.ts";
import { byteLength, BYTES, elements, type FileDType, type HostTensor } from "../tensor.ts";
import { type NpyHeader, parseNpyHeader } from "./_npy_header.ts";
import { gather, swapBytes } from "./_strided.ts";

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** Largest header: numpy itself refuses more than 10 000 characters unless told otherwise. */
const MAX_HEADER = 10_000;

const DESCR: Readonly<Partial<Record<FileDType, string>>> = {
  f64: "<f8",
  f32: "<f4",
  f16: "<f2",
  i64: "<i8",
  i32: "<i4",
  i16: "<i2",
  i8: "|i1",
  u64: "<u8",
  u32: "<u4",
  u16: "<u2",
  u8: "|u1",
  bool: "|b1",
};

const BY_CODE: ReadonlyMap<string, FileDType> = new Map(
  Object.entries(DESCR).map(([dtype, descr]) => [descr.slice(1), dtype as FileDType]),
);

/**
 * Reads an array. Fortran order and big-endian elements come out row-major and little-endian.
 *
 * @throws {NotFoundError} when the file is not there
 * @throws {FormatError} when it is no array of numbers, or its size is not what its header says
 */
export async function readNpy(path: string): Promise<HostTensor> {
  using file = await openFile(path);
  const { header, start } = await readHeader(file);
  const dtype = BY_CODE.get(header.descr.slice(1));
  if (dtype === undefined || !"<>|=".includes(header.descr[0]!)) {
    throw new FormatError(
      path,
      `expected "descr" to be one of ${Object.values(DESCR).join(", ")}, received "${header.descr}"`,
      { hint: "Only arrays of numbers are read; save with numpy.save after astype" },
    );
  }
  const { shape } = header;
  const size = byteLength({ shape, dtype });
  if (!Number.isSafeInteger(size) || size !== file.size - start) {
    throw new FormatError(
      path,
      `expected ${size} bytes of data for ${dtype}[${shape.join(", ")}], received ${file.size - start}`,
    );
  }
  let bytes = await file.read(start, size);
  if (header.descr[0] === ">") swapBytes(bytes, BYTES[dtype]);
  if (header.fortranOrder && shape.length > 1 && size > 0) {
    bytes = gather(bytes, BYTES[dtype], { shape, strides: columnMajor(shape) });
  }
  return { shape, dtype, bytes };
}

/**
 * Writes an array in one step.
 *
 * @throws {WriteError} for bf16, which numpy does not have, and when the file cannot be written
 */
export async function writeNpy(path: string, tensor: HostTensor): Promise<void> {
  const { shape, dtype, bytes } = tensor;
  const descr = DESCR[dtype];
  if (descr === undefined) {
    throw new WriteError(path, `expected one of ${Object.keys(DESCR).join(", ")}, received ${dtype}`, {
      hint: "Convert the tensor to f32 first",
    });
  }
  if (bytes.length !== byteLength(tensor)) {
    throw new WriteError(path, `expected ${byteLength(tensor)} bytes, received ${bytes.length}`);
  }
  const list = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  let text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${list}), }`;
  // numpy leaves room for the first axis to grow to 21 digits without moving the data.
  if (shape.length > 0) text += " ".repeat(21 - String(shape[0]).length);
  const start = Math.floor((10 + text.length + 1) / 64 + 1) * 64;
  const file = new Uint8Array(start + bytes.length).fill(0x20, 0, start);
  file.set(MAGIC);
  file.set([1, 0, (start - 10) & 0xff, (start - 10) >> 8], 6);
  file.set(new TextEncoder().encode(text), 10);
  file[start - 1] = 0x0a;
  file.set(bytes, start);
  await writeFileAtomic(path, file);
}

async function readHeader(file: OpenFile): Promise<{ header: NpyHeader; start: number }> {
  const first = await file.read(0, Math.min(12, file.size));
  if (first.length < 10 || !MAGIC.every((byte, i) => first[i] === byte)) {
    throw new FormatError(file.path, 'expected a file that begins with "\\x93NUMPY", received another');
  }
  const [major, minor] = [first[6]!, first[7]!];
  if (major < 1 || major > 3 || minor !== 0) {
    throw new FormatError(file.path, `expected version 1.0, 2.0 or 3.0, received ${major}.${minor}`);
  }
  const before = major === 1 ? 10 : 12;
  const view = new DataView(first.buffer);
  const length = major === 1
    ? view.getUint16(8, true)
    : first.length < 12
    ? Infinity
    : view.getUint32(8, true);
  if (length > Math.min(MAX_HEADER, file.size - before)) {
    throw new FormatError(
      file.path,
      `expected a header of at most ${Math.min(MAX_HEADER, file.size - before)} bytes, received ${length}`,
    );
  }
  const text = new TextDecoder(major === 3 ? "utf-8" : "latin1").decode(await file.read(before, length));
  const header = parseNpyHeader(text, file.path);
  if (!Number.isSafeInteger(elements(header.shape) * 8)) {
    throw new FormatError(
      file.path,
      `expected "shape" to be below 2^53 bytes, received (${header.shape.join(", ")})`,
    );
  }
  return { header, start: before + length };
}

function columnMajor(shape: readonly number[]): number[] {
  let step = 1;
  return shape.map((axis) => {
    const stride = step;
    step *= axis;
    return stride;
  });
}
