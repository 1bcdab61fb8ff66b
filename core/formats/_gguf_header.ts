/**
 * What a GGUF header says, held against the file's size.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import type { OpenFile } from "../files.ts";
import type { Shape } from "../tensor.ts";
import { parseGguf, type RawHeader } from "./_gguf_parse.ts";
import { type GgufType, ggufType } from "./_gguf_types.ts";

/** Most tensors of a file, and most bytes of a name. */
const MAX_TENSORS = 100_000, MAX_NAME = 1024;
/** Most axes of a tensor. Source: `GGML_MAX_DIMS`. */
const MAX_AXES = 4;

/** One tensor of a file. */
export interface GgufTensor {
  /** Its name in the file. */
  readonly name: string;
  /** Axes, outermost first. */
  readonly shape: Shape;
  /** Its element type. */
  readonly type: GgufType;
  /** First byte in the file. */
  readonly begin: number;
  /** Bytes of its data. */
  readonly bytes: number;
}

/** What a header says. */
export interface GgufHeader {
  readonly metadata: ReadonlyMap<string, unknown>;
  /** Tensors in the header's order. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/**
 * Reads and checks a header.
 *
 * @throws {FormatError} when it is damaged or tensors do not lie in the file, each in a place of its own
 */
export async function readGgufHeader(file: OpenFile): Promise<GgufHeader> {
  const raw = await parseGguf(file), { metadata } = raw;
  if (raw.tensors.length > MAX_TENSORS) {
    throw new FormatError(
      file.path,
      `expected at most ${MAX_TENSORS} tensors, received ${raw.tensors.length}`,
    );
  }
  const parts = Number(metadata.get("split.count") ?? 1);
  if (parts > 1) {
    throw new FormatError(file.path, `expected a model in one file, received one of ${parts} parts`, {
      hint: "Join the parts with llama-gguf-split --merge",
    });
  }
  const start = dataStart(file, raw);
  const tensors = new Map<string, GgufTensor>();
  for (const entry of raw.tensors) {
    if (tensors.has(entry.name)) throw bad(file, entry.name, "once", "it twice");
    tensors.set(entry.name, place(file, entry, start));
  }
  refuseOverlap(file, [...tensors.values()]);
  return { metadata, tensors };
}

/** First byte of the data: the header's end, brought up to the alignment that it names. */
function dataStart(file: OpenFile, { metadata, end }: RawHeader): { data: number; alignment: number } {
  const alignment = Number(metadata.get("general.alignment") ?? 32);
  if (!Number.isInteger(Math.log2(alignment)) || alignment < 1 || alignment > 1 << 20) {
    throw new FormatError(
      file.path,
      `expected "general.alignment" to be a power of 2 up to ${1 << 20}, received ${alignment}`,
    );
  }
  return { data: Math.ceil(end / alignment) * alignment, alignment };
}

function place(
  file: OpenFile,
  entry: RawHeader["tensors"][number],
  { data, alignment }: { readonly data: number; readonly alignment: number },
): GgufTensor {
  const { name } = entry, type = ggufType(entry.dtype);
  if (name === "" || name.length > MAX_NAME) {
    throw new FormatError(
      file.path,
      `expected names of 1 to ${MAX_NAME} characters, received ${name.length}`,
    );
  }
  if (type === undefined) throw bad(file, name, "with a type of ggml", `the type ${entry.dtype}`);
  const shape = entry.shape.map(Number).reverse(), row = shape.at(-1) ?? 1;
  const count = shape.reduce((product, axis) => product * axis, 1);
  // A block is at most 8 bytes an entry.
  if (shape.length > MAX_AXES || !Number.isSafeInteger(count * 8)) {
    throw bad(file, name, `with at most ${MAX_AXES} axes and 2^53 bytes`, `[${shape.join(", ")}]`);
  }
  if (row % type.entries !== 0) {
    throw bad(file, name, `with rows of whole blocks of ${type.entries} for ${type.name}`, `rows of ${row}`);
  }
  const bytes = count / type.entries * type.bytes;
  const offset = Number(entry.offset), begin = data + offset;
  if (offset % alignment !== 0) {
    throw bad(file, name, `at a multiple of ${alignment} bytes`, `the offset ${entry.offset}`);
  }
  if (begin + bytes > file.size) {
    throw bad(file, name, `within the file's ${file.size} bytes`, `${bytes} bytes at ${begin}`);
  }
  return { name, shape, type, begin, bytes };
}

function refuseOverlap(file: OpenFile, tensors: GgufTensor[]): void {
  tensors.sort((a, b) => a.begin - b.begin || a.bytes - b.bytes);
  tensors.forEach(({ name, begin }, i) => {
    const before = tensors[i - 1];
    if (before && before.begin + before.bytes > begin) {
      throw bad(file, name, `behind "${before.name}"`, "it at a place that overlaps");
    }
  });
}

function bad(file: OpenFile, name: string, expected: string, received: string): FormatError {
  return new FormatError(file.path, `expected the tensor "${name}" ${expected}, received ${received}`);
}
