/**
 * Batches made of samples' files, on a thread of their own where there may be one: where the CPU computes, this thread
 * would not unpack the next batch for as long as a step takes.
 *
 * @module
 */
import { ConfigError, FormatError, NotFoundError, SpeculatorsError } from "../errors.ts";
import { heard, Helper, mayLoadHelper, type ToldError } from "../helper.ts";
import { packBatch, type PackedBatch } from "./batch.ts";
import { PythonRandom } from "./random.ts";
import type { Sample } from "./sample.ts";
import { readSample } from "./store.ts";

/** A sample's file. */
export interface SampleFile {
  /** Where it lies. */
  readonly path: string;
  /** Which of its states are taken, in this order; all as they lie when absent. */
  readonly states?: readonly number[];
}

/** What a batch is made of. */
export interface BatchRequest {
  /** Its samples, in their order. */
  readonly samples: readonly SampleFile[];
  /** Tokens of a batch; what is beyond is cut off. */
  readonly maxLength: number;
  /** Uniform noise on the states: its size, and the seed of its numbers. */
  readonly noise?: { readonly std: number; readonly seed: bigint };
  /** Sizes of the verifier, which samples have to fit; not looked at when absent. */
  readonly verifier?: { readonly hiddenSize: number; readonly vocabSize: number };
}

/** A sample that cannot be read. */
export interface BadSample {
  /** Its file. */
  readonly path: string;
  /** What is wrong with it. */
  readonly error: SpeculatorsError;
}

/** A batch, and what became of its samples. */
export interface MadeBatch {
  /** It; `null` when all of its samples are corrupt. */
  readonly batch: PackedBatch | null;
  /** Files that are in it. */
  readonly files: readonly string[];
  /** Samples that were left out because they are corrupt. */
  readonly bad: readonly BadSample[];
}

/** Makes batches. */
export interface BatchMaker extends Disposable {
  /**
   * Makes one; several may be under way.
   *
   * @throws {SpeculatorsError} when a sample can be read but does not fit
   */
  make(request: BatchRequest): Promise<MadeBatch>;
}

/** A batch on its way to another thread. */
export type SentBatch = Omit<MadeBatch, "bad"> & {
  /** Samples that were left out. */
  readonly bad: readonly { readonly path: string; readonly error: ToldError }[];
};

/**
 * Opens a maker; the thread begins with the first batch.
 *
 * @param url the thread's module
 */
export function openBatchMaker(url: URL = new URL("./make_batch_helper.ts", import.meta.url)): BatchMaker {
  if (!mayLoadHelper(url)) return { make: makeBatch, [Symbol.dispose]() {} };
  let helper: Helper | undefined;
  return {
    async make(request) {
      try {
        helper ??= new Helper(url);
        const { bad, ...made } = await helper.ask<SentBatch>({ body: request });
        return { ...made, bad: bad.map(({ path, error }) => ({ path, error: heard(error) })) };
      } catch (error) {
        if (error instanceof SpeculatorsError) throw error;
        return await makeBatch(request); // a thread that cannot be had is no reason to stop
      }
    },
    [Symbol.dispose]: () => helper?.[Symbol.dispose](),
  };
}

/** Makes a batch on this thread. */
export async function makeBatch(request: BatchRequest): Promise<MadeBatch> {
  const samples: Sample[] = [], files: string[] = [], bad: BadSample[] = [];
  const read = await Promise.allSettled(request.samples.map(readSampleFile));
  for (const [at, result] of read.entries()) {
    const { path } = request.samples[at]!;
    if (result.status === "fulfilled") {
      if (request.verifier) checkFit(result.value, path, request.verifier);
      samples.push(result.value);
      files.push(path);
    } else if (result.reason instanceof FormatError || result.reason instanceof NotFoundError) {
      bad.push({ path, error: result.reason });
    } else throw result.reason;
  }
  if (samples.length === 0) return { batch: null, files, bad };
  const { maxLength, noise } = request;
  if (!noise) return { batch: packBatch(samples, { maxLength }), files, bad };
  const drawn = new PythonRandom(noise.seed);
  const draw = { kind: "uniform", std: noise.std, random: () => drawn.float() } as const;
  return { batch: packBatch(samples, { maxLength, noise: draw }), files, bad };
}

/** Reads a sample, with the states that are taken of it. */
export async function readSampleFile({ path, states }: SampleFile): Promise<Sample> {
  const sample = await readSample(path);
  return states ? { ...sample, hidden: states.map((i) => sample.hidden[i]!) } : sample;
}

/** @throws {ConfigError} when a sample is not of the draft's verifier */
function checkFit(
  { hidden, inputIds }: Sample,
  path: string,
  { hiddenSize, vocabSize }: NonNullable<BatchRequest["verifier"]>,
): void {
  const hint = "Make the samples with datagen for this verifier";
  const width = hidden.find((layer) => layer.shape[1] !== hiddenSize)?.shape[1];
  if (width !== undefined) {
    throw new ConfigError(path, `expected states of width ${hiddenSize}, received ${width}`, { hint });
  }
  const id = inputIds.find((id) => id < 0 || id >= vocabSize);
  if (id !== undefined) {
    throw new ConfigError(path, `expected tokens of the verifier, below ${vocabSize}, received ${id}`, {
      hint,
    });
  }
}
