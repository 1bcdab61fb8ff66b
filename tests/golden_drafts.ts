/** What tests of draft plugins against the Python system share. */
import assert from "node:assert/strict";
import { uploadDraft } from "../core/draft_tensors.ts";
import type { PackedBatch } from "../core/data/batch.ts";
import { toFloat32, toInt32, toUint8 } from "../core/formats/dtype.ts";
import { openSafetensors } from "../core/formats/safetensors.ts";
import type { TensorSource } from "../core/formats/source.ts";
import type { DraftTensorInfo, VerifierWeights } from "../core/plugin.ts";
import type { Backend, HostTensor, Tensor } from "../core/tensor.ts";
import { golden } from "./golden.ts";

/** The three weights of a golden verifier. */
export function goldenVerifier(source: TensorSource): VerifierWeights {
  return {
    embedTokens: () => source.read("model.embed_tokens.weight"),
    lmHead: () => source.read("lm_head.weight"),
    norm: () => source.read("model.norm.weight"),
  };
}

/** The document of each row; −1 in padding. */
export function documentsOf(lengths: readonly number[], total: number): Int32Array {
  const documents = new Int32Array(total).fill(-1);
  lengths.reduce((at, length, document) => {
    documents.fill(document, at, at + length);
    return at + length;
  }, 0);
  return documents;
}

/** Tensors as training keeps them; the backend frees them. */
export function uploadTrained(
  backend: Backend,
  host: ReadonlyMap<string, HostTensor>,
  infos: readonly DraftTensorInfo[],
): ReadonlyMap<string, Tensor> {
  return uploadDraft(backend, host, infos).all;
}

/** Entries within `bound` of the largest one that is wanted. */
export function assertNear(got: Float32Array, want: Float32Array, bound: number, what: string): void {
  assert.equal(got.length, want.length, what);
  let worst = 0, largest = 0;
  want.forEach((x, i) => {
    largest = Math.max(largest, Math.abs(x));
    const distance = Math.abs(got[i]! - x);
    worst = distance <= worst ? worst : distance; // a NaN wins
  });
  assert.ok(worst <= bound * largest, `${what}: ${worst} of ${largest}`);
}

/** Numbers within `bound`, relatively. */
export function assertAbout(got: number | undefined, want: number, bound: number, what: string): void {
  const close = Math.abs((got ?? NaN) - want) <= bound * Math.max(Math.abs(want), 1e-3);
  assert.ok(close, `${what}: ${got} is not ${want}`);
}

/** Tensors of one text after another, without the rows that a packed batch drops of each. */
export interface UnshiftedInputs {
  readonly tokens: Int32Array;
  readonly lossMask: Uint8Array;
  /** f32, `auxWidth` a row. */
  readonly hidden: Float32Array;
  /** f32, `width` a row. */
  readonly last: Float32Array;
  readonly lengths: readonly number[];
  readonly width: number;
  readonly auxWidth: number;
}

/**
 * A packed batch as the core makes it: of each text the first token, mask entry and last state are dropped, and the last
 * row of the auxiliary states.
 */
export function shifted(x: UnshiftedInputs): PackedBatch {
  const { width, auxWidth } = x,
    lengths = x.lengths.map((n) => n - 1),
    rows = lengths.reduce((a, b) => a + b, 0);
  const batch = {
    tokens: new Int32Array(rows),
    lossMask: new Uint8Array(rows),
    positions: new Int32Array(rows),
    documents: documentsOf(lengths, rows),
    lengths,
    hidden: new Float32Array(rows * auxWidth),
    last: new Float32Array(rows * width),
    auxWidth,
    width,
  };
  let from = 0, to = 0;
  for (const length of lengths) {
    batch.tokens.set(x.tokens.subarray(from + 1, from + 1 + length), to);
    batch.lossMask.set(x.lossMask.subarray(from + 1, from + 1 + length), to);
    batch.last.set(x.last.subarray((from + 1) * width, (from + 1 + length) * width), to * width);
    batch.hidden.set(x.hidden.subarray(from * auxWidth, (from + length) * auxWidth), to * auxWidth);
    for (let i = 0; i < length; i++) batch.positions[to + i] = i + 1;
    from += length + 1;
    to += length;
  }
  return batch;
}

/** The inputs of a case: states of `hidden` entries, of texts of such lengths. */
export async function goldenInputs(
  folder: readonly string[],
  { lengths, hidden }: { readonly lengths: readonly number[]; readonly hidden: number },
): Promise<UnshiftedInputs> {
  using inputs = await openSafetensors(golden(...folder, "inputs.safetensors"));
  const read = (name: string) => inputs.read(name), last = "verifier_last_hidden_states";
  const states = toFloat32(await read("hidden_states")), tokens = toInt32(await read("input_ids"));
  return {
    tokens,
    lossMask: toUint8(await read("loss_mask")),
    hidden: states,
    last: inputs.has(last) ? toFloat32(await read(last)) : states,
    lengths,
    width: hidden,
    auxWidth: states.length / tokens.length,
  };
}

/** The row of a {@linkcode shifted} batch for a row of its inputs; −1 for those that were dropped. */
export function shiftedRow(lengths: readonly number[], row: number): number {
  let from = 0;
  for (const [document, length] of lengths.entries()) {
    if (row < from + length) return row === from ? -1 : row - document - 1;
    from += length;
  }
  return -1;
}
