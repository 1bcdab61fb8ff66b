/** Carrying out a conversion plan: each tensor's bytes in pieces, so that memory does not grow with a checkpoint. */
import type { ConvertInputs, PlannedTensor, TensorContent } from "../conversion.ts";
import { FormatError, NumericError } from "../errors.ts";
import { convert } from "../formats/dtype.ts";
import type { FileSpec, TensorSource } from "../formats/source.ts";
import { BYTES, elements, type FileDType, type HostTensor } from "../tensor.ts";
import { firstNotFinite } from "../formats/finite.ts";

/** Bytes of a source that are in memory at a time. */
const BLOCK = 2 * 1024 * 1024;

/** What tensors are made from. */
export interface StreamInputs extends ConvertInputs {
  /** The checkpoint, for messages. */
  readonly where: string;
  /** The verifier's embedding and head, where the plan needs them. */
  readonly verifier: {
    readonly source: TensorSource;
    readonly names: { readonly embed: string; readonly head: string };
    readonly where: string;
  } | null;
  /** Let infinities pass, as the Python system does. */
  readonly infinities: boolean;
}

/**
 * A planned tensor's bytes, in order. A piece is good until the next one is asked for.
 *
 * @throws {FormatError} when a float in the source is not a number, or is infinite; names tensor and entry
 * @throws {NumericError} when a float does not fit the type it is written in
 */
export async function* streamTensor(
  tensor: PlannedTensor,
  inputs: StreamInputs,
): AsyncGenerator<Uint8Array, void, void> {
  const { content } = tensor;
  switch (content.kind) {
    case "copy":
      yield* streamCopy(tensor, content, inputs);
      return;
    case "verifier":
      yield* streamVerifier(tensor, content, inputs);
      return;
    case "constant": {
      const count = elements(tensor.shape);
      const part = convert(filled(Math.min(count, BLOCK / 4), content.value), tensor.dtype);
      const size = BYTES[tensor.dtype];
      for (let left = count; left > 0; left -= part.shape[0]!) yield part.bytes.subarray(0, left * size);
      return;
    }
    case "made": {
      const made = await content.make(inputs);
      if (made.dtype !== tensor.dtype || made.shape.join() !== tensor.shape.join()) {
        throw new FormatError(
          inputs.where,
          `expected "${tensor.name}" as ${tensor.dtype} [${
            tensor.shape.join(", ")
          }], received ${made.dtype} ` +
            `[${made.shape.join(", ")}]`,
        );
      }
      yield made.bytes;
    }
  }
}

async function* streamCopy(
  tensor: PlannedTensor,
  { tensor: name, through }: Extract<TensorContent, { kind: "copy" }>,
  inputs: StreamInputs,
): AsyncGenerator<Uint8Array, void, void> {
  const into = pieceFor(inputs.source.spec(name), tensor.dtype);
  let at = 0;
  for await (const block of blocks(inputs.source, name)) {
    yield written(block, { at, name, through, dtype: tensor.dtype, into, ...inputs });
    at += elements(block.shape);
  }
}

async function* streamVerifier(
  tensor: PlannedTensor,
  { role, rows }: Extract<TensorContent, { kind: "verifier" }>,
  inputs: StreamInputs,
): AsyncGenerator<Uint8Array, void, void> {
  const { source, names, where } = inputs.verifier!, name = names[role], { shape } = source.spec(name);
  const list = rows ? await rows(inputs) : null;
  const wanted = list === null ? tensor.shape : [shape[0], ...tensor.shape.slice(1)];
  if (shape.join() !== wanted.join() || (list !== null && list.length !== tensor.shape[0])) {
    throw new FormatError(
      where,
      `expected "${name}" as [${wanted.join(", ")}] for "${tensor.name}", received [${shape.join(", ")}]`,
      { hint: "Take the verifier that the draft was made for" },
    );
  }
  const options = {
    at: 0,
    name,
    through: undefined,
    dtype: tensor.dtype,
    where,
    infinities: inputs.infinities,
    into: pieceFor(source.spec(name), tensor.dtype),
  };
  if (list !== null && list.some((id, i) => i > 0 && id < list[i - 1]!)) {
    // Rows in another order than the file's may come from anywhere in it.
    yield written(pickRows(await source.read(name), list, 0), options);
    return;
  }
  let first = 0;
  for await (const block of blocks(source, name)) {
    const count = block.shape[0]!;
    const part = list === null
      ? block
      : pickRows(block, list.filter((id) => id >= first && id < first + count), first);
    if (part.bytes.length > 0) yield written(part, { ...options, at: first });
    first += count;
  }
}

/** Memory for a block once its type is changed; none where it is not. */
function pieceFor(spec: FileSpec, dtype: FileDType): ArrayBuffer {
  if (spec.dtype === dtype) return new ArrayBuffer(0);
  const count = Math.min(elements(spec.shape), BLOCK / BYTES[spec.dtype]);
  return new ArrayBuffer(count * BYTES[dtype]);
}

/** A tensor in blocks of whole rows; in one where it has no rows, or its source cannot read some of them. */
async function* blocks(source: TensorSource, name: string): AsyncGenerator<HostTensor, void, void> {
  const { shape, dtype } = source.spec(name), [count = 0, ...rest] = shape;
  const row = elements(rest) * BYTES[dtype], step = Math.max(1, Math.floor(BLOCK / Math.max(row, 1)));
  if (shape.length === 0 || count <= step || !source.readRange) {
    yield await source.read(name);
    return;
  }
  for (let start = 0; start < count; start += step) {
    yield await source.readRange(name, { start, end: Math.min(start + step, count) });
  }
}

/** Rows of a block by the ids they have in the whole tensor. */
function pickRows(block: HostTensor, ids: Int32Array, first: number): HostTensor {
  const [count = 1, ...rest] = block.shape, row = block.bytes.length / count;
  const bytes = new Uint8Array(ids.length * row);
  ids.forEach((id, i) =>
    bytes.set(block.bytes.subarray((id - first) * row, (id - first + 1) * row), i * row)
  );
  return { shape: [ids.length, ...rest], dtype: block.dtype, bytes };
}

interface WriteAs {
  readonly name: string;
  readonly where: string;
  readonly at: number;
  readonly through: "f32" | undefined;
  /** Memory for what is written, of one piece after the other. */
  readonly into: ArrayBuffer;
  readonly dtype: FileDType;
  readonly infinities: boolean;
}

/** A block's bytes in the type they are written in, its numbers looked at. */
function written(block: HostTensor, options: WriteAs): Uint8Array {
  const { name, where, at, through, dtype, infinities, into } = options;
  const bad = firstNotFinite(block, { nanOnly: infinities });
  if (bad !== null) {
    throw new FormatError(
      where,
      `expected finite numbers in "${name}", received ${bad.value} at entry ${at + bad.index}`,
      {
        hint: "The weights are damaged, or training went wrong: fetch them again, or take another checkpoint",
      },
    );
  }
  if (block.dtype === dtype) return block.bytes;
  const result = convert(through && block.dtype !== through ? convert(block, through) : block, dtype, {
    into,
  });
  const range = (block.dtype === "f64" || dtype === "f16") && !infinities;
  const large = range ? firstNotFinite(result, { nanOnly: false }) : null;
  if (large !== null) {
    throw new NumericError(
      `Cannot write "${name}" as ${dtype}: expected numbers that fit, received one beyond it at entry ${
        at + large.index
      }`,
      { hint: "Keep the type of the weights, or choose --dtype bf16 or f32" },
    );
  }
  return result.bytes;
}

function filled(count: number, value: number): HostTensor {
  const values = new Float32Array(count).fill(value);
  return { shape: [count], dtype: "f32", bytes: new Uint8Array(values.buffer) };
}
