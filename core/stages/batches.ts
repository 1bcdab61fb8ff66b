/** From stored samples to the packed batches of an epoch, the next one read while one is worked on. */
import { packBatch, type PackedBatch } from "../data/batch.ts";
import type { Noise } from "../data/noise.ts";
import type { Sample } from "../data/sample.ts";
import type { SampleStore } from "../data/store.ts";
import { multipackBatches } from "../data/sampler.ts";

/** A sample of a store. */
export interface ListedSample {
  /** Where it lies. */
  readonly store: SampleStore;
  /** Its number there. */
  readonly index: number;
  /** Which of its states are taken, in this order; all as they lie when absent. */
  readonly states?: readonly number[];
}

/** Samples of one or several stores, in one list. */
export interface SampleList {
  /** Where each lies. */
  readonly items: readonly ListedSample[];
  /** Tokens of each, before the shift. */
  readonly lengths: readonly number[];
}

/** A batch, and which samples are in it. */
export interface NamedBatch {
  /** The batch. */
  readonly batch: PackedBatch;
  /** Files it was made of, for messages. */
  readonly files: readonly string[];
}

/** How batches are formed. */
export interface BatchOptions {
  /** Tokens of a batch. */
  readonly totalSeqLen: number;
  /** Which epoch: each has its own order. */
  readonly epoch: number;
  /** Noise on the states. */
  readonly noise?: Noise;
}

/** Reads a sample, with the states that are taken of it. */
export async function readListed({ store, index, states }: ListedSample): Promise<Sample> {
  const sample = await store.read(index);
  return states ? { ...sample, hidden: states.map((i) => sample.hidden[i]!) } : sample;
}

/** The samples of each batch of an epoch, as indices into the list. */
export function planEpoch(
  list: SampleList,
  options: Pick<BatchOptions, "totalSeqLen" | "epoch">,
): number[][] {
  const { totalSeqLen, epoch } = options;
  return multipackBatches(list.lengths, { maxLength: totalSeqLen, epoch })[0] ?? [];
}

/** Reads the batches of an epoch, one ahead. */
export async function* readEpoch(
  list: SampleList,
  options: BatchOptions,
): AsyncGenerator<NamedBatch, void, void> {
  const plan = planEpoch(list, options);
  const load = async (indices: readonly number[]): Promise<NamedBatch> => {
    const items = indices.map((i) => list.items[i]!);
    const samples = await Promise.all(items.map(readListed));
    const pack = options.noise ? { noise: options.noise } : {};
    return {
      batch: packBatch(samples, { maxLength: options.totalSeqLen, ...pack }),
      files: items.map(({ store, index }) => store.path(index)),
    };
  };
  let next = plan[0] ? load(plan[0]) : null;
  try {
    for (let i = 0; next; i++) {
      const current: NamedBatch = await next, following = plan[i + 1];
      next = following ? load(following) : null;
      next?.catch(() => {}); // reported when it is awaited
      yield current;
    }
  } finally {
    await next?.catch(() => {}); // who leaves early leaves no read behind
  }
}
