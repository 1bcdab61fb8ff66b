/** From stored samples to the packed batches of an epoch, the next one made while one is worked on. */
import type { BatchMaker, BatchRequest, MadeBatch, SampleFile } from "../data/make_batch.ts";
import { multipackBatches } from "../data/sampler.ts";
import type { SampleStore } from "../data/store.ts";

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
export interface NamedBatch extends MadeBatch {
  /** Its place in the epoch, from 0. */
  readonly place: number;
}

/** How batches are formed. */
export interface BatchOptions extends Pick<BatchRequest, "verifier"> {
  /** Who makes them. */
  readonly maker: BatchMaker;
  /** Tokens of a batch. */
  readonly totalSeqLen: number;
  /** Which epoch: each has its own order. */
  readonly epoch: number;
  /** The first batch that is wanted, from 0. */
  readonly from?: number;
  /** Noise on the states of the batch at a place. */
  readonly noise?: (place: number) => NonNullable<BatchRequest["noise"]>;
}

/** The file of a sample. */
export function fileOf({ store, index, states }: ListedSample): SampleFile {
  const path = store.path(index);
  return states ? { path, states } : { path };
}

/** The samples of each batch of an epoch, as indices into the list. */
export function planEpoch(
  list: SampleList,
  options: Pick<BatchOptions, "totalSeqLen" | "epoch">,
): number[][] {
  const { totalSeqLen, epoch } = options;
  return multipackBatches(list.lengths, { maxLength: totalSeqLen, epoch })[0] ?? [];
}

/**
 * The batches of an epoch, one made ahead. A sample that cannot be read is left out of its batch, which says so.
 *
 * @throws {SpeculatorsError} when a sample can be read but does not fit
 */
export async function* readEpoch(
  list: SampleList,
  options: BatchOptions,
): AsyncGenerator<NamedBatch, void, void> {
  const { maker, noise, totalSeqLen: maxLength, verifier } = options, plan = planEpoch(list, options);
  const make = (place: number) => {
    const samples = plan[place]?.map((i) => fileOf(list.items[i]!));
    const more = { ...(noise ? { noise: noise(place) } : {}), ...(verifier ? { verifier } : {}) };
    return samples ? maker.make({ samples, maxLength, ...more }) : null;
  };
  let place = options.from ?? 0, next = make(place);
  try {
    for (; next; place++) {
      const made: MadeBatch = await next;
      next = make(place + 1);
      next?.catch(() => {}); // reported when it is awaited
      yield { place, ...made };
    }
  } finally {
    await next?.catch(() => {}); // who leaves early leaves nothing under way
  }
}
