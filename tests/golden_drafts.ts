/** What tests of draft plugins against the Python system share. */
import assert from "node:assert/strict";
import { uploadDraft } from "../core/draft_tensors.ts";
import type { TensorSource } from "../core/formats/source.ts";
import type { DraftTensorInfo, VerifierWeights } from "../core/plugin.ts";
import type { Backend, HostTensor, Tensor } from "../core/tensor.ts";

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
