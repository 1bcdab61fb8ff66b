/**
 * A folder of samples, `data_{i}.pt` or `data_{i}.safetensors`: one interface, the ending decides.
 *
 * @module
 */
import { join } from "node:path";
import { FormatError, NotFoundError } from "../errors.ts";
import { readLengths } from "./lengths.ts";
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
  /** Tokens of every sample that is there: from `sample_lengths.json`, from the sample's own file where it lacks one. */
  lengths(): Promise<Map<number, number>>;
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

/** How a store is opened. */
export interface StoreOptions {
  /** Format of samples that are written; that of the samples already there, else `pt`, unless given. */
  readonly format?: SampleEnding;
}

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
    const path = this.path(index);
    const sample = await formatOf(this.#there.get(index) ?? this.#ending).read(path);
    checkSample(sample, path);
    return sample;
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

  async lengths(): Promise<Map<number, number>> {
    const known = await readLengths(this.folder);
    const lengths = new Map<number, number>();
    for (const index of await this.list()) {
      const length = known.get(index) ??
        await formatOf(this.#there.get(index)!).length(this.path(index));
      lengths.set(index, length);
    }
    return lengths;
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
