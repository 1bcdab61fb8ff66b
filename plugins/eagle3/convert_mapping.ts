/** The draft vocabulary of a published checkpoint: `d2t` and `t2d`, one of them, or none. */
import type { ConvertInputs, ConvertNote, ConvertRequest, PlannedTensor } from "../../core/conversion.ts";
import { FormatError } from "../../core/errors.ts";
import { convert, hostTensor, toUint8 } from "../../core/formats/dtype.ts";
import type { HostTensor } from "../../core/tensor.ts";
import { kept } from "../_shared/convert_config.ts";

/** Sizes of both vocabularies. */
interface Sizes {
  readonly draftVocab: number;
  readonly vocab: number;
}

/** What becomes of a checkpoint's mapping. */
export interface Mapping {
  /** Size of the verifier's vocabulary, where the mapping says it. */
  readonly vocab: number | null;
  /** Source names that it takes. */
  readonly used: readonly string[];
  /** What is said of it. */
  readonly notes: readonly ConvertNote[];
  /** The mapping to be written. */
  tensors(draftVocab: number, vocab: number): PlannedTensor[];
  /** Refuses a mapping that maps outside of the vocabulary, or whose halves disagree. */
  check(inputs: ConvertInputs, sizes: Sizes): Promise<void>;
}

/**
 * Plans a mapping. One half is made of the other; the Python system drops `d2t` on its own, and writes zeros for it
 * where only `t2d` is there.
 *
 * @param names source names of the two, where they are there
 */
export function mappingOf(
  request: ConvertRequest,
  names: { readonly d2t: string | undefined; readonly t2d: string | undefined },
): Mapping {
  const { strictUpstream: strict, source } = request, { where } = source;
  const t2d = names.t2d, d2t = strict && t2d === undefined ? undefined : names.d2t;
  const vocab = t2d === undefined ? null : source.tensors.get(t2d)?.shape[0] ?? null;
  const notes = strict ? [] : [
    ...(d2t !== undefined && t2d === undefined ? [kept("d2t, with t2d made of it")] : []),
    ...(d2t === undefined && t2d !== undefined ? [kept("t2d, with d2t made of it instead of zeros")] : []),
  ];
  return {
    vocab,
    notes,
    used: [d2t, t2d].filter((name) => name !== undefined),
    tensors(draftVocab, vocab) {
      if (d2t === undefined && t2d === undefined) {
        if (strict || draftVocab === vocab) return [];
        throw new FormatError(
          where,
          `expected "d2t" or "t2d" for a draft of ${draftVocab} of ${vocab} tokens, received neither`,
          { hint: "Is this the verifier that the draft was made for?" },
        );
      }
      requireLength(request, d2t, draftVocab);
      requireLength(request, t2d, vocab);
      const offsets = async (inputs: ConvertInputs) => {
        if (d2t !== undefined) return convert(await inputs.source.read(d2t), "i64");
        if (strict) return hostTensor(new BigInt64Array(draftVocab), [draftVocab]);
        return offsetsOf(await inputs.source.read(t2d!), { draftVocab, where });
      };
      const mask = async (inputs: ConvertInputs) =>
        t2d !== undefined
          ? convert(await inputs.source.read(t2d), "bool")
          : maskOf(await offsets(inputs), { vocab, where });
      return [
        { name: "d2t", shape: [draftVocab], dtype: "i64", content: { kind: "made", make: offsets } },
        { name: "t2d", shape: [vocab], dtype: "bool", content: { kind: "made", make: mask } },
      ];
    },
    async check(inputs, { draftVocab, vocab }) {
      if (strict || d2t === undefined) return;
      const derived = maskOf(convert(await inputs.source.read(d2t), "i64"), { vocab, where });
      if (t2d === undefined) return;
      const given = toUint8(convert(await inputs.source.read(t2d), "bool")), made = toUint8(derived);
      const wrong = given.findIndex((bit, id) => bit !== made[id]);
      if (wrong < 0) return;
      throw new FormatError(
        where,
        `expected "t2d" to keep the ${draftVocab} ids of "d2t", received another choice at ${wrong}`,
        { hint: "Leave one of the two out of the checkpoint: it is made of the other" },
      );
    },
  };
}

/** The verifier's id of each draft id, read when the rows are wanted. */
export function keptIds(
  request: ConvertRequest,
  draft: Sizes & { readonly found: ReadonlyMap<string, string> },
): (inputs: ConvertInputs) => Promise<Int32Array> {
  const { found, draftVocab, vocab } = draft;
  const mapping = mappingOf(request, { d2t: found.get("d2t"), t2d: found.get("t2d") });
  const planned = mapping.tensors(draftVocab, vocab).find(({ name }) => name === "d2t");
  return async (inputs) => {
    if (planned?.content.kind !== "made") return Int32Array.from({ length: draftVocab }, (_, i) => i);
    const offsets = i64(await planned.content.make(inputs));
    return Int32Array.from({ length: draftVocab }, (_, i) => i + Number(offsets[i]!));
  };
}

function requireLength(request: ConvertRequest, name: string | undefined, length: number): void {
  const shape = name === undefined ? undefined : request.source.tensors.get(name)?.shape;
  if (shape === undefined || (shape.length === 1 && shape[0] === length)) return;
  throw new FormatError(
    request.source.where,
    `expected "${name}" as [${length}], received [${shape.join(", ")}]`,
    { hint: "Do config.json and weights belong together?" },
  );
}

function offsetsOf(
  mask: HostTensor,
  options: { readonly draftVocab: number; readonly where: string },
): HostTensor {
  const bits = toUint8(convert(mask, "bool")), { draftVocab, where } = options;
  const offsets: bigint[] = [];
  bits.forEach((bit, id) => {
    if (bit !== 0) offsets.push(BigInt(id - offsets.length));
  });
  if (offsets.length !== draftVocab) {
    throw new FormatError(where, `expected "t2d" to keep ${draftVocab} ids, received ${offsets.length}`, {
      hint: "Do config.json and weights belong together?",
    });
  }
  return hostTensor(BigInt64Array.from(offsets), [draftVocab]);
}

function maskOf(d2t: HostTensor, options: { readonly vocab: number; readonly where: string }): HostTensor {
  const { vocab, where } = options, bits = new Uint8Array(vocab);
  i64(d2t).forEach((offset, i) => {
    const id = i + Number(offset);
    if (id < 0 || id >= vocab || bits[id] === 1) {
      throw new FormatError(
        where,
        `expected "d2t" to give distinct ids below ${vocab}, received ${id} for ${i}`,
        { hint: "Is this the verifier that the draft was made for?" },
      );
    }
    bits[id] = 1;
  });
  return { shape: [vocab], dtype: "bool", bytes: bits };
}

function i64(tensor: HostTensor): BigInt64Array {
  return new BigInt64Array(tensor.bytes.slice().buffer);
}
