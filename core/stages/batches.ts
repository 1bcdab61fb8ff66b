/** From stored samples to the packed batches of an epoch, the next one read while one is worked on. */
import { FormatError, NotFoundError, type SpeculatorsError } from "../errors.ts";
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
  /** Its place in the epoch, from 0. */
  readonly place: number;
  /** The batch; `null` when all of its samples are corrupt. */
  readonly batch: PackedBatch | null;
  /** Files it was made of, for messages. */
  readonly files: readonly string[];
  /** Samples that were left out because they are corrupt. */
  readonly bad: readonly BadSample[];
}

/** A sample that cannot be read. */
export interface BadSample {
  /** Its file. */
  readonly path: string;
  /** What is wrong with it. */
  readonly error: SpeculatorsError;
}

/** How batches are formed. */
export interface BatchOptions {
  /** Tokens of a batch. */
  readonly totalSeqLen: number;
  /** Which epoch: each has its own order. */
  readonly epoch: number;
  /** The first batch that is wanted, from 0. */
  readonly from?: number;
  /** Noise on the states of the batch at a place. */
  readonly noise?: (place: number) => Noise;
  /**
   * Refuses a sample that does not fit the draft.
   *
   * @throws {ConfigError} when it does not
   */
  readonly check?: (sample: Sample, path: string) => void;
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

/**
 * Reads the batches of an epoch, one ahead. A sample that cannot be read is left out of its batch, which says so.
 *
 * @throws {ConfigError} when a sample can be read but does not fit
 */
export async function* readEpoch(
  list: SampleList,
  options: BatchOptions,
): AsyncGenerator<NamedBatch, void, void> {
  const plan = planEpoch(list, options);
  const load = (place: number) =>
    place < plan.length ? loadBatch(list, options, { place, indices: plan[place]! }) : null;
  let next = load(options.from ?? 0);
  try {
    while (next) {
      const current: NamedBatch = await next;
      next = load(current.place + 1);
      next?.catch(() => {}); // reported when it is awaited
      yield current;
    }
  } finally {
    await next?.catch(() => {}); // who leaves early leaves no read behind
  }
}

async function loadBatch(
  list: SampleList,
  { totalSeqLen, noise, check }: BatchOptions,
  { place, indices }: { readonly place: number; readonly indices: readonly number[] },
): Promise<NamedBatch> {
  const samples: Sample[] = [], files: string[] = [], bad: BadSample[] = [];
  const read = await Promise.allSettled(indices.map((i) => readListed(list.items[i]!)));
  for (const [at, result] of read.entries()) {
    const { store, index } = list.items[indices[at]!]!, path = store.path(index);
    if (result.status === "fulfilled") {
      check?.(result.value, path);
      samples.push(result.value);
      files.push(path);
    } else if (result.reason instanceof FormatError || result.reason instanceof NotFoundError) {
      bad.push({ path, error: result.reason });
    } else throw result.reason;
  }
  const pack = noise ? { noise: noise(place) } : {};
  const batch = samples.length === 0 ? null : packBatch(samples, { maxLength: totalSeqLen, ...pack });
  return { place, batch, files, bad };
}
