/** Choosing a draft vocabulary: token frequencies → d2t.npy and t2d.npy. */
import { ConfigError } from "../errors.ts";
import {
  combineFrequencies,
  type Coverage,
  mapVocabulary,
  vocabularyCoverage,
  writeVocabularyMap,
} from "../data/vocabulary.ts";
import { readFrequencies } from "../data/frequencies.ts";
import type { Stage } from "../events.ts";
import type { Runtime } from "../runtime.ts";
import { openVerifier } from "../verifier.ts";

/** What is mapped. */
export interface VocabMapOptions {
  /** Files of token frequencies; several are added up. */
  readonly tokenFreqPath: readonly string[];
  /** Entries of the draft vocabulary. */
  readonly draftVocabSize: number;
  /** Entries of the verifier's vocabulary; read from `targetModelPath` when absent. */
  readonly targetVocabSize?: number;
  /** Folder of the verifier. */
  readonly targetModelPath?: string;
  /** Folder that the two files go to. */
  readonly outputPath: string;
}

/** What was mapped. */
export interface VocabMapResult {
  /** The files. */
  readonly paths: { readonly d2t: string; readonly t2d: string };
  /** Entries of the draft vocabulary. */
  readonly draftVocabSize: number;
  /** Entries of the verifier's vocabulary. */
  readonly targetVocabSize: number;
  /** Share of the counted tokens that vocabularies of several sizes keep, this one's among them. */
  readonly coverage: readonly Coverage[];
}

/**
 * Maps a vocabulary: the most frequent ids are kept, of equals the smaller, in ascending order.
 *
 * @throws {ConfigError} when the sizes do not fit each other or an id lies outside the verifier's vocabulary
 */
export async function* vocabMap(options: VocabMapOptions, runtime: Runtime): Stage<VocabMapResult> {
  const { draftVocabSize, outputPath } = options;
  const targetVocabSize = options.targetVocabSize ?? await sizeOf(options.targetModelPath, runtime);
  const frequencies = combineFrequencies(await Promise.all(options.tokenFreqPath.map(readFrequencies)));
  const map = await mapVocabulary(frequencies, {
    draftSize: draftVocabSize,
    targetSize: targetVocabSize,
    select: runtime.selectVocabulary,
  });
  const paths = await writeVocabularyMap(outputPath, map);
  yield {
    type: "progress",
    stage: "vocab_map",
    done: draftVocabSize,
    total: draftVocabSize,
    unit: "tokens",
  };
  const sizes = new Set([0.25, 0.5, 1, 2, 4].map((factor) => Math.round(draftVocabSize * factor)));
  const coverage = vocabularyCoverage(
    frequencies,
    [...sizes].filter((size) => size > 0 && size <= targetVocabSize),
  );
  return { paths, draftVocabSize, targetVocabSize, coverage };
}

async function sizeOf(path: string | undefined, runtime: Runtime): Promise<number> {
  if (path === undefined) {
    throw new ConfigError(
      "targetVocabSize",
      "expected the size of the verifier's vocabulary, received none",
      {
        hint: "Give --target-vocab-size, or --target-model-path to read it from",
      },
    );
  }
  using verifier = await openVerifier(path, runtime);
  return verifier.info.vocabSize;
}
