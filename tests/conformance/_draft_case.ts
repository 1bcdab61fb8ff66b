/** What the draft suite feeds a draft: batches, states and sequences that are the same at every call. */
import assert from "node:assert/strict";
import type { PackedBatch } from "../../core/data/batch.ts";
import { type DraftTensors, uploadDraft } from "../../core/draft_tensors.ts";
import type { DraftAlgorithm, DraftSources, SpeculatorConfig, VerifierInfo } from "../../core/plugin.ts";
import type { Backend, HostTensor, Tensor } from "../../core/tensor.ts";
import { gauss, randomOf } from "./random.ts";

/** A draft to be tested, and whatever goes with it when it is disposed of. */
export interface OpenDraft extends Disposable {
  /** The plugin's code. */
  readonly algorithm: DraftAlgorithm;
  /** A small config. */
  readonly config: SpeculatorConfig;
  /** The verifier it is for. */
  readonly verifier: VerifierInfo;
  /** The verifier's weights, and a vocabulary map where the config has a draft vocabulary. */
  readonly sources: Pick<DraftSources, "verifier" | "vocabulary">;
  /** Where to compute. */
  readonly backend: Backend;
}

/** First values by name. */
export async function firstValues(open: OpenDraft, seed = 1): Promise<Map<string, HostTensor>> {
  return await open.algorithm.initialise(open.config, { ...open.sources, seed, checkpoint: null });
}

/** First values on the backend. */
export async function firstTensors(open: OpenDraft): Promise<DraftTensors> {
  return uploadDraft(open.backend, await firstValues(open), open.algorithm.tensors(open.config));
}

/** Normally distributed states. */
function states(name: string, length: number): Float32Array {
  const random = randomOf(name);
  return Float32Array.from({ length }, () => gauss(random));
}

/** Documents of these lengths, and rows of padding behind them. */
export function smallBatch(open: OpenDraft, lengths: readonly number[], padding = 0): PackedBatch {
  const width = open.verifier.hiddenSize;
  const auxWidth = width * open.algorithm.needs(open.config, open.verifier).layers.length;
  const used = lengths.reduce((sum, n) => sum + n, 0), rows = used + padding;
  const random = randomOf("batch");
  const batch = {
    tokens: new Int32Array(rows),
    lossMask: new Uint8Array(rows),
    positions: new Int32Array(rows),
    documents: new Int32Array(rows).fill(-1),
    lengths,
    hidden: new Float32Array(rows * auxWidth),
    last: new Float32Array(rows * width),
    auxWidth,
    width,
  };
  batch.hidden.set(states("auxiliary states", used * auxWidth));
  batch.last.set(states("last states", used * width));
  let at = 0;
  for (const [document, length] of lengths.entries()) {
    for (let i = 0; i < length; i++, at++) {
      batch.tokens[at] = Math.floor(random() * open.verifier.vocabSize);
      batch.lossMask[at] = random() < 0.6 ? 1 : 0;
      batch.positions[at] = i + 1;
      batch.documents[at] = document;
    }
  }
  return batch;
}

/** A sequence, and the verifier's states of its rows. */
export interface Sequence {
  readonly tokens: Int32Array;
  /** For each layer, f32 `[tokens.length, width]`. */
  readonly states: readonly Float32Array[];
}

/** A sequence that shares its first `shared` tokens and states with every other one. */
export function sequence(
  open: OpenDraft,
  length: number,
  from: { name: string; shared: number },
): Sequence {
  const { hiddenSize, vocabSize } = open.verifier;
  const own = randomOf(from.name), common = randomOf("shared");
  const tokens = Int32Array.from({ length }, (_, i) => {
    const [a, b] = [Math.floor(common() * vocabSize), Math.floor(own() * vocabSize)];
    return i < from.shared ? a : b;
  });
  const { layers } = open.algorithm.needs(open.config, open.verifier);
  return {
    tokens,
    states: layers.map((_, layer) => {
      const all = states(`${from.name} ${layer}`, length * hiddenSize);
      all.set(states(`shared ${layer}`, from.shared * hiddenSize));
      return all;
    }),
  };
}

/** Rows of a sequence's states on the backend. */
export function rowsOf(open: OpenDraft, { states }: Sequence, start: number, end: number): Tensor[] {
  const width = open.verifier.hiddenSize;
  return states.map((all) => open.backend.from(all.slice(start * width, end * width), [end - start, width]));
}

/** Runs something during which nothing may be read from the backend. */
export function withoutReading<T>(backend: Backend, work: () => T): T {
  const refuse = () => assert.fail("something was read");
  for (const name of ["read", "readAll"]) {
    Object.defineProperty(backend, name, { value: refuse, configurable: true });
  }
  try {
    return work();
  } finally {
    for (const name of ["read", "readAll"]) delete (backend as unknown as Record<string, unknown>)[name];
  }
}
