/**
 * The draft vocabulary's arithmetic on whole arrays, in WebAssembly; synchronous, and without a backend.
 *
 * @module
 */
import { ConfigError } from "../../core/errors.ts";
import { initSync, select_vocabulary } from "../lib/single.js";
import module from "../lib/single_module.js";

/** Which of a verifier's tokens a draft knows. */
export interface VocabularyMap {
  /** i64 `[draft]`: verifier id = draft id + offset. */
  readonly d2t: BigInt64Array;
  /** `[target]`: 1 for the verifier's ids that are kept. */
  readonly t2d: Uint8Array;
}

/**
 * Chooses the ids a draft keeps: the most frequent, of equals the smaller, then, when too few were observed, the smallest
 * not yet taken; in ascending order. A count of 0 is observed.
 *
 * @param ids observed ids, each once
 * @param counts how often each was seen
 * @throws {ConfigError} when `draftSize` exceeds `targetSize`, an id that is kept lies outside, or one comes twice
 */
export function selectVocabulary(
  ids: Int32Array,
  counts: BigInt64Array,
  draftSize: number,
  targetSize: number,
): VocabularyMap {
  if (counts.length !== ids.length) {
    throw new ConfigError(
      "token_freq",
      `expected a count for each of ${ids.length} ids, received ${counts.length}`,
    );
  }
  for (const [name, size] of [["draft_vocab_size", draftSize], ["target_vocab_size", targetSize]] as const) {
    if (!Number.isInteger(size) || size < 0 || size >= 2 ** 31) {
      throw new ConfigError(name, `expected a whole number below 2³¹, received ${size}`);
    }
  }
  if (draftSize > targetSize) {
    throw new ConfigError(
      "draft_vocab_size",
      `expected at most the ${targetSize} entries of the verifier, received ${draftSize}`,
      { hint: "Choose a draft vocabulary no larger than the verifier's" },
    );
  }
  initSync({ module });
  const selected = select_vocabulary(ids, counts, draftSize);
  const d2t = new BigInt64Array(draftSize), t2d = new Uint8Array(targetSize);
  for (let i = 0; i < draftSize; i++) {
    const id = selected[i]!;
    if (id < 0 || id >= targetSize) {
      throw new ConfigError("token_freq", `expected ids from 0 to ${targetSize - 1}, received ${id}`, {
        hint: "The frequencies were counted with another tokenizer, or the target vocabulary's size is wrong",
      });
    }
    if (t2d[id] === 1) throw new ConfigError("token_freq", `expected each id once, received ${id} twice`);
    t2d[id] = 1;
    d2t[i] = BigInt(id - i);
  }
  return { d2t, t2d };
}
