/**
 * A folder of samples, `data_{i}.pt` or `data_{i}.safetensors`: one interface, the ending decides.
 *
 * @module
 */
import { join } from "node:path";
import { FormatError, NotFoundError } from "../errors.ts";
import { lengthsBySize, readLengths } from "./lengths.ts";
import type { Sample } from "./sample.ts";
import { checkSample } from "./sample.ts";
import { safetensorsSamples } from "./store_safetensors.ts";
import { torchSamples } from "./store_torch.ts";

/** How one sample is kept in one file. */
export interface SampleFormat {
  /** Ending of its files, without the dot. */
  readonly ending: string;
  /**
   * Reads a sample.
   *
   * @throws {FormatError} when the file holds none
   */
  read(path: string): Promise<Sample>;
  /** How many tokens a sample has, without reading its states. */
  length(path: string): Promise<number>;
  /**
   * The tokens of a sample, without reading its states; that those are there is checked.
   *
   * @throws {FormatError} when the file is damaged
   */
  ids(path: string): Promise<Int32Array>;
  /** Writes a sample in one step. */
  write(path: string, sample: Sample, options?: { readonly compress?: Compression }): Promise<void>;
}

/** A folder of samples. */
export interface SampleStore {
  /** The folder. */
  readonly folder: string;
  /** Numbers of the samples that are there, ascending. */
  list(): Promise<number[]>;
  /** The file of a sample. */
  path(index: number): string;
  /**
   * Reads a sample.
   *
   * @throws {NotFoundError} when it is not there
   * @throws {FormatError} when its file is damaged
   */
  read(index: number): Promise<Sample>;
  /**
   * The tokens of a sample, without reading its states; `null` when its file is damaged or not there.
   */
  ids(index: number): Promise<Int32Array | null>;
  /** Writes a sample in one step; the folder is made. Lengths are written apart, once, by `writeLengths`. */
  write(index: number, sample: Sample): Promise<void>;
  /**
   * Tokens of every sample that is there: from `sample_lengths.json`; where it lacks some, from the samples' own files,
   * which is exact; where it lacks many, by the files' sizes, as upstream does.
   *
   * @param options `openAtMost`: files that may be opened for it; 20 000 unless given
   */
  lengths(options?: { readonly openAtMost?: number }): Promise<Map<number, number>>;
}

/** Endings of sample files that are known. */
export type SampleEnding = "pt" | "safetensors";

/** How the files of samples are packed. Torch unpacks `deflate`, but not where it is told to map files into memory. */
export type Compression = "none" | "deflate";

/** How a sample is written. */
export interface SampleFileOptions {
  /** The folder. */
  readonly folder: string;
  /** The format. */
  readonly ending: SampleEnding;
  /** How it is packed; not at all, unless given. */
  readonly compress?: Compression;
}

/**
 * Writes a sample in one step; its folder is made.
 *
 * @throws {ConfigError} when its parts do not fit each other
 * @throws {WriteError} when it cannot be written
 */
export async function writeSample(sample: Sample, index: number, options: SampleFileOptions): Promise<void> {
  const { compress = "none", ending, folder } = options;
  const path = join(folder, `data_${index}.${ending}`);
  checkSample(sample, path);
  await formatOf(ending).write(path, sample, { compress });
}

/**
 * Reads a sample from its file.
 *
 * @throws {NotFoundError} when it is not there
 * @throws {FormatError} when it is damaged
 */
export async function readSample(path: string): Promise<Sample> {
  const sample = await formatOf(path.endsWith(".pt") ? "pt" : "safetensors").read(path);
  checkSample(sample, path);
  return sample;
}

/** How a store is opened. */
export interface StoreOptions {
  /** Format of samples that are written; that of the samples already there, else `pt`, unless given. */
  readonly format?: SampleEnding;
}

/** Files that are opened to learn the lengths of their samples: that takes seconds, and minutes on a disk far away. */
const OPEN_AT_MOST = 20_000;

/** Most samples in a folder. */
const MAX_SAMPLES = 100_000_000;

/**
 * Opens a folder of samples, which need not exist yet.
 *
 * @throws {FormatError} when a sample is there twice, in two formats
 */
export async function openSampleStore(folder: string, options: StoreOptions = {}): Promise<SampleStore> {
  const there = await scan(folder);
  const found = there.values().next().value;
  const ending = options.format ?? found ?? "pt";
  return new FolderStore(folder, ending, there);
}

class FolderStore implements SampleStore {
  readonly folder: string;
  readonly #ending: SampleEnding;
  #there: Map<number, SampleEnding>;

  constructor(folder: string, ending: SampleEnding, there: Map<number, SampleEnding>) {
    this.folder = folder;
    this.#ending = ending;
    this.#there = there;
  }

  async list(): Promise<number[]> {
    this.#there = await scan(this.folder);
    return [...this.#there.keys()].sort((a, b) => a - b);
  }

  path(index: number): string {
    return join(this.folder, `data_${index}.${this.#there.get(index) ?? this.#ending}`);
  }

  async read(index: number): Promise<Sample> {
    return await readSample(this.path(index));
  }

  async ids(index: number): Promise<Int32Array | null> {
    try {
      return await formatOf(this.#there.get(index) ?? this.#ending).ids(this.path(index));
    } catch (cause) {
      if (cause instanceof FormatError || cause instanceof NotFoundError) return null;
      throw cause;
    }
  }

  async write(index: number, sample: Sample): Promise<void> {
    await writeSample(sample, index, { folder: this.folder, ending: this.#ending });
    this.#there.set(index, this.#ending);
  }

  async lengths({ openAtMost = OPEN_AT_MOST } = {}): Promise<Map<number, number>> {
    const known = await readLengths(this.folder), indices = await this.list();
    const missing = indices.filter((index) => !known.has(index));
    const lengthOf = (index: number) => formatOf(this.#there.get(index)!).length(this.path(index));
    const found = new Map<number, number>();
    if (missing.length > openAtMost) {
      const first = indices[0]!, sizes: number[] = [];
      for (const index of [first, ...missing]) sizes.push((await Deno.stat(this.path(index))).size);
      const estimates = lengthsBySize(sizes, known.get(first) ?? await lengthOf(first)).slice(1);
      missing.forEach((index, i) => found.set(index, estimates[i]!));
    } else {
      for (const index of missing) found.set(index, await lengthOf(index));
    }
    return new Map(indices.map((index) => [index, known.get(index) ?? found.get(index)!]));
  }
}

function formatOf(ending: SampleEnding): SampleFormat {
  return ending === "pt" ? torchSamples() : safetensorsSamples();
}

async function scan(folder: string): Promise<Map<number, SampleEnding>> {
  const there = new Map<number, SampleEnding>();
  try {
    for await (const entry of Deno.readDir(folder)) {
      const match = /^data_(0|[1-9]\d{0,8})\.(pt|safetensors)$/.exec(entry.name);
      if (match === null || entry.isDirectory) continue;
      const index = Number(match[1]);
      if (there.has(index)) {
        throw new FormatError(join(folder, entry.name), `expected sample ${index} once, received it twice`);
      }
      if (there.size >= MAX_SAMPLES) {
        throw new FormatError(folder, `expected at most ${MAX_SAMPLES} samples, received more`);
      }
      there.set(index, match[2] as SampleEnding);
    }
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return there;
    if (cause instanceof Deno.errors.NotADirectory) {
      throw new NotFoundError(folder, "expected a folder of samples, received something else", { cause });
    }
    throw cause;
  }
  return there;
}
