/** Shards of a data set put together: the folder that one run would have made. */
import { basename, join } from "node:path";
import { type DataConfig, readDataConfig, writeDataConfig } from "../data/data_config.ts";
import { frequenciesBeside, readFrequencies, writeFrequencies } from "../data/frequencies.ts";
import { readLengths, writeLengths } from "../data/lengths.ts";
import { REJECTED_FILE } from "../data/rejected_file.ts";
import { openSampleStore, type SampleStore } from "../data/store.ts";
import { combineFrequencies } from "../data/vocabulary.ts";
import { ConfigError, NotFoundError } from "../errors.ts";
import type { Stage } from "../events.ts";
import { createAtomic, openFile, removeUnfinished } from "../files.ts";
import { lockFolder } from "../folder_lock.ts";
import { requireFolder, requireWritable } from "../folders.ts";
import type { Runtime } from "../runtime.ts";
import { turn } from "../turn.ts";

/** What is put together. */
export interface MergeSamplesOptions {
  /** Folders that datagen made with a shard each, in any order; or folders of like samples, in this order. */
  readonly folders: readonly string[];
  /** Where samples go. */
  readonly outputDir: string;
  /**
   * Where the sum of their token frequencies goes; `token_freq.pt`. Not in the folder, where the Python system's trainer
   * would take it for a sample.
   */
  readonly tokenFreqPath?: string;
}

/** What was put together. */
export interface MergeSamplesResult {
  /** The folder. */
  readonly folder: string;
  /** Samples in it. */
  readonly samples: number;
  /** File of token frequencies; `null` where a shard has none beside its folder. */
  readonly tokenFreqPath: string | null;
}

interface Part {
  readonly folder: string;
  readonly config: DataConfig;
  readonly store: SampleStore;
  readonly indices: readonly number[];
}

/** What must be the same in all parts. */
const SAME = [
  "weights",
  "layers",
  "hiddenSize",
  "seqLength",
  "seed",
  "dtype",
  "ending",
  "strictUpstream",
  "turnDropout",
  "assistantPattern",
] as const;

/** What must be the same in the shards of one run: it says which conversations there are. */
const SAME_IN_SHARDS = ["maxSamples", "trainDataPath"] as const;

/** A setting to compare. Shards may be made on machines where data lies elsewhere: names of files count. */
function setting(config: DataConfig, name: typeof SAME[number] | typeof SAME_IN_SHARDS[number]): string {
  const value = name === "trainDataPath" ? config.trainDataPath.map((path) => basename(path)) : config[name];
  return JSON.stringify(value) ?? "none";
}

/**
 * Puts folders together. Files are linked where the disk can, copied elsewhere; the parts stay as they are.
 *
 * @throws {NotFoundError} when a folder is not there or not one of samples
 * @throws {ConfigError} when a shard is unfinished, missing or there twice, or the samples are not of one kind
 */
export async function* mergeSamples(
  options: MergeSamplesOptions,
  runtime: Pick<Runtime, "signal">,
): Stage<MergeSamplesResult> {
  const { outputDir } = options, parts = inOrder(await Promise.all(options.folders.map(openPart)));
  const first = parts[0]!.config;
  for (const { config, folder } of parts) {
    const names = first.shard === undefined ? SAME : [...SAME, ...SAME_IN_SHARDS];
    // Not every folder says whose weights they were.
    const told = names.filter((name) => name !== "weights" || (config.weights && first.weights));
    const field = told.find((name) => setting(config, name) !== setting(first, name));
    if (field === undefined) continue;
    throw new ConfigError(
      `${folder}: ${field}`,
      `expected ${setting(first, field)}, as in ${parts[0]!.folder}, received ${setting(config, field)}`,
      { hint: "Merge shards of one run only" },
    );
  }
  await requireWritable(outputDir);
  await using _lock = await lockFolder(outputDir);
  await removeUnfinished(outputDir);
  const total = parts.reduce((sum, { indices }) => sum + indices.length, 0);
  await checkFree(outputDir, parts, total);
  const lengths = new Map<number, number>(), ending = first.ending ?? "pt";
  let next = 0;
  for (const { folder, indices, store } of parts) {
    const known = await readLengths(folder),
      measured = indices.every((i) => known.has(i)) ? known : await store.lengths();
    for (const index of indices) {
      await turn(runtime.signal);
      await link(store.path(index), join(outputDir, `data_${next}.${ending}`));
      lengths.set(next++, measured.get(index)!);
      yield { type: "progress", stage: "merge", done: next, total, unit: "samples" };
    }
  }
  await joinRejected(parts, outputDir);
  const tokenFreqPath = await joinFrequencies(
    parts,
    options.tokenFreqPath ?? "token_freq.pt",
  );
  await writeLengths(outputDir, lengths);
  const { shard: _, ...config } = first;
  const paths = first.shard === undefined
    ? parts.flatMap(({ config }) => config.trainDataPath)
    : first.trainDataPath;
  await writeDataConfig(outputDir, { ...config, trainDataPath: [...new Set(paths)], numSamples: total });
  return { folder: outputDir, samples: total, tokenFreqPath };
}

async function openPart(folder: string): Promise<Part> {
  await requireFolder(folder, {
    what: "samples",
    hint: "Give the --output-dir of a run of datagen with --shard",
  });
  const config = await readDataConfig(folder),
    store = await openSampleStore(folder),
    indices = await store.list();
  if (config === null) throw new NotFoundError(folder, "expected data_config.json in it, received none");
  if (config.numSamples === indices.length) return { folder, config, store, indices };
  throw new ConfigError(
    folder,
    `expected ${config.numSamples ?? "a finished run's"} samples, received ${indices.length}`,
    { hint: "Run datagen for it again: it goes on where it was" },
  );
}

/** By the number of their shard; each once, none missing. */
function inOrder(parts: readonly Part[]): Part[] {
  const shards = parts.map(({ config }) => /^(\d+)\/(\d+)$/.exec(config.shard ?? ""));
  if (parts.length === 0) throw new ConfigError("folders", "expected folders of samples, received none");
  if (shards.every((shard) => shard === null)) return [...parts];
  const count = Number(shards.find((shard) => shard !== null)![2]);
  const ordered = Array.from({ length: count }, (_, i) => {
    const found = parts.filter(({ config }) => config.shard === `${i + 1}/${count}`);
    if (found.length === 1) return found[0]!;
    throw new ConfigError(
      "folders",
      `expected shard ${i + 1}/${count} once, received ${
        found.length === 0 ? "none" : `it ${found.length} times`
      }`,
      { hint: "Give the folder of each shard" },
    );
  });
  if (ordered.length === parts.length) return ordered;
  const other = parts.find((part) => !ordered.includes(part))!;
  throw new ConfigError(
    other.folder,
    `expected a shard of ${count}, received ${other.config.shard ?? "a folder that is none"}`,
    { hint: "Merge shards of one run only" },
  );
}

/** An interrupted merge is done again; another folder's samples are not touched. */
async function checkFree(outputDir: string, parts: readonly Part[], total: number): Promise<void> {
  const there = await (await openSampleStore(outputDir)).list();
  const inside = parts.find(({ folder }) => Deno.realPathSync(folder) === Deno.realPathSync(outputDir));
  if (
    !inside && (there.length === 0 || (await readDataConfig(outputDir) === null && there.at(-1)! < total))
  ) return;
  throw new ConfigError(outputDir, `expected an empty folder, received one with ${there.length} samples`, {
    hint: "Name a new folder for the whole",
  });
}

async function link(from: string, to: string): Promise<void> {
  try {
    await Deno.remove(to).catch(() => {});
    await Deno.link(from, to);
  } catch {
    await copy(from, to); // another disk, or one without links
  }
}

async function copy(from: string, to: string): Promise<void> {
  using source = await openFile(from);
  await using target = await createAtomic(to);
  const step = 8 * 1024 * 1024;
  for (let at = 0; at < source.size; at += step) {
    await target.write(await source.read(at, Math.min(step, source.size - at)));
  }
  await target.commit();
}

async function joinRejected(parts: readonly Part[], outputDir: string): Promise<void> {
  const there = async (path: string) => await Deno.stat(path).then(() => true, () => false);
  const files: string[] = [];
  for (const { folder } of parts) {
    const path = join(folder, REJECTED_FILE);
    if (await there(path)) files.push(path);
  }
  if (files.length === 0) return;
  await using target = await createAtomic(join(outputDir, REJECTED_FILE));
  for (const path of files) {
    using source = await openFile(path);
    await target.write(await source.read(0, source.size));
  }
  await target.commit();
}

async function joinFrequencies(parts: readonly Part[], path: string): Promise<string | null> {
  const found = [];
  for (const { folder } of parts) {
    const frequencies = await readFrequencies(frequenciesBeside(folder)).catch((cause) => {
      if (cause instanceof NotFoundError) return null;
      throw cause;
    });
    if (frequencies === null) return null;
    found.push(frequencies);
  }
  await writeFrequencies(path, combineFrequencies(found));
  return path;
}
