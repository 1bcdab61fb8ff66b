/** A draft vocabulary within the verifier's, and the rows of the verifier's head that it keeps. */
import { ConfigError } from "../../core/errors.ts";
import { convert, hostTensor, toUint8 } from "../../core/formats/dtype.ts";
import type { TensorSource } from "../../core/formats/source.ts";
import type { DraftSources } from "../../core/plugin.ts";
import type { HostTensor } from "../../core/tensor.ts";
import { checkedShape } from "./first_values.ts";

/** Sizes that a vocabulary goes by. */
export interface VocabularySizes {
  /** The verifier's vocabulary. */
  readonly vocab: number;
  /** The draft's. */
  readonly draftVocab: number;
  /** Width of the verifier. */
  readonly target: number;
}

/** A vocabulary map as it is stored, and the verifier's id of each draft id. */
export interface DraftVocabulary {
  /** i64 `[draft vocab]`: verifier id = draft id + offset. */
  readonly d2t: HostTensor;
  /** bool `[vocab]`: which of the verifier's ids are kept. */
  readonly t2d: HostTensor;
  /** The verifier's id of each draft id. */
  readonly ids: Int32Array;
}

/**
 * `d2t` and `t2d` of the checkpoint, else those given.
 *
 * @throws {ConfigError} when there are none, or they do not map distinct tokens of the verifier
 */
export async function draftVocabulary(
  { checkpoint, vocabulary: given }: DraftSources,
  sizes: VocabularySizes,
): Promise<DraftVocabulary> {
  const { draftVocab, vocab } = sizes;
  const d2t = await stored(checkpoint, "d2t") ?? (given ? hostTensor(given.d2t, [given.d2t.length]) : null);
  if (!d2t) {
    throw new ConfigError("d2t", `expected a map of ${draftVocab} of ${vocab} tokens, received none`, {
      hint: "Make one with vocab-map",
    });
  }
  const offsets = new BigInt64Array(
    convert(checkedShape(d2t, [draftVocab], "d2t"), "i64").bytes.slice().buffer,
  );
  const derived = new Uint8Array(vocab), ids = new Int32Array(draftVocab);
  offsets.forEach((offset, i) => {
    const id = i + Number(offset);
    if (id < 0 || id >= vocab || derived[id] === 1) {
      throw new ConfigError("d2t", `expected distinct ids below ${vocab}, received ${id} for draft id ${i}`);
    }
    derived[id] = 1;
    ids[i] = id;
  });
  const t2d = await stored(checkpoint, "t2d") ?? (given ? hostTensor(given.t2d, [given.t2d.length]) : null);
  if (t2d) {
    const kept = toUint8(checkedShape(t2d, [vocab], "t2d"));
    const wrong = derived.findIndex((bit, id) => (kept[id] !== 0) !== (bit === 1));
    if (wrong >= 0) {
      throw new ConfigError("t2d", `expected the ids of d2t, received another choice at ${wrong}`);
    }
  }
  return {
    d2t: hostTensor(offsets, [draftVocab]),
    t2d: { ...hostTensor(derived, [vocab]), dtype: "bool" },
    ids,
  };
}

async function stored(source: TensorSource | null, name: string): Promise<HostTensor | null> {
  return source?.has(name) ? await source.read(name) : null;
}

/**
 * The row of the verifier's head for each draft id; the head itself where there is no map.
 *
 * @throws {ConfigError} when the head has another shape
 */
export function keptRows(head: HostTensor, ids: Int32Array | null, sizes: VocabularySizes): HostTensor {
  const { vocab, draftVocab, target } = sizes;
  checkedShape(head, [vocab, target], "lm_head.weight of the verifier");
  if (!ids) return head;
  const row = head.bytes.length / vocab;
  const bytes = new Uint8Array(draftVocab * row);
  ids.forEach((id, i) => bytes.set(head.bytes.subarray(id * row, (id + 1) * row), i * row));
  return { shape: [draftVocab, target], dtype: head.dtype, bytes };
}
