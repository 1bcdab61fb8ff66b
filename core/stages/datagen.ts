/**
 * From conversations to training samples: each is rendered, tokenised and masked, the verifier runs over it, and the
 * states a draft learns from are kept. Stopped at any point, the same call goes on where it was.
 *
 * @module
 */
import { dirname, extname, join } from "node:path";
import { type DataConfig, readDataConfig, writeDataConfig } from "../data/data_config.ts";
import { weightsFingerprint } from "../data/fingerprint.ts";
import { frequenciesBeside, writeFrequencies } from "../data/frequencies.ts";
import { writeLengths } from "../data/lengths.ts";
import { REJECTED_FILE, RejectedFile } from "../data/rejected_file.ts";
import { Rejections } from "../data/rejections.ts";
import {
  type Compression,
  openSampleStore,
  type SampleEnding,
  type SampleFileOptions,
  type SampleStore,
} from "../data/store.ts";
import { countTokens, type TokenFrequencies } from "../data/vocabulary.ts";
import { ConfigError, NotFoundError } from "../errors.ts";
import type { Stage, StageEvent } from "../events.ts";
import { removeUnfinished } from "../files.ts";
import { lockFolder } from "../folder_lock.ts";
import { requireWritable } from "../folders.ts";
import { freeSpace } from "../free_space.ts";
import { openImages } from "../images/prompt.ts";
import type { Runtime } from "../runtime.ts";
import { BYTES } from "../tensor.ts";
import { loadTextModel } from "../text/mod.ts";
import { turn } from "../turn.ts";
import { openVerifier } from "../verifier.ts";
import { Capture, captureEngine, type Pending } from "./_data_capture.ts";
import { checkSpace, describeCost, describeTime, estimateCost } from "./_data_cost.ts";
import { openDataRecords, type RecordOptions, type Records } from "./_data_records.ts";
import { checkSameData } from "./same_data.ts";

/** What samples are made of; names and defaults are upstream's. */
export interface DatagenOptions extends RecordOptions {
  /** Folder of the verifier. */
  readonly targetModelPath: string;
  /** Where samples go. */
  readonly outputDir: string;
  /**
   * Where the frequencies of trained tokens go; `token_freq.pt`, for a shard `<its folder>.token_freq.pt`. Not in the
   * folder: the Python system's trainer takes every file there whose name ends in `pt` for a sample.
   */
  readonly tokenFreqPath?: string;
  /** States that the verifier hands out, serving convention; 2, n/2, n − 3 and n when absent. The last one is n. */
  readonly layerIds?: readonly number[];
  /** Those of them that are written; all when absent. Where the server hands out more than the draft will read. */
  readonly keepLayers?: readonly number[];
  /** Tokens that the verifier works on at once; 2048, or 32768 where a server does. */
  readonly batchTokens?: number;
  /** Samples that it works on at once; as many as `batchTokens` lets when absent. */
  readonly batchSize?: number;
  /** Element type of the states; the model's when absent. */
  readonly dtype?: "bf16" | "f16" | "f32";
  /** Format of new samples; that of those already there, else `pt`. */
  readonly format?: SampleEnding;
  /** How sample files are packed; `none`. Only `pt`, and not for the Python system's trainer, which maps files. */
  readonly compress?: Compression;
  /** Make only samples from this number on; 0. */
  readonly startIdx?: number;
  /** Begin though the disk has too little room. */
  readonly yes?: boolean;
  /** Engine plugin; `local`. */
  readonly engine?: string;
  /** Address of the engine's server. */
  readonly endpoint?: string;
  /** Devices that a server spreads a layer over, to be recorded. */
  readonly tensorParallelSize?: number;
  /** Share of the device's memory that a server takes, to be recorded. */
  readonly gpuMemoryUtilization?: number;
  /** The command line, to be recorded. */
  readonly command?: string;
}

/** What was made. */
export interface DatagenResult {
  /** The folder. */
  readonly folder: string;
  /** Samples in it that are of this data set. */
  readonly samples: number;
  /** Of them, made by this call. */
  readonly fresh: number;
  /** Their tokens. */
  readonly tokens: number;
  /** Of these, trained on. */
  readonly trainedTokens: number;
  /** Conversations that could not be used, by reason. */
  readonly rejected: Readonly<Record<string, number>>;
  /** Seconds since the verifier was loaded, and those of them that it computed. */
  readonly seconds: { readonly total: number; readonly verifier: number };
}

/**
 * Makes training samples.
 *
 * @throws {NotFoundError} when a file or the model is not there
 * @throws {ConfigError} when options do not fit the model or samples that are there already, when another run works on
 * the folder, or when the disk has too little room
 */
export async function* datagen(options: DatagenOptions, runtime: Runtime): Stage<DatagenResult> {
  const { outputDir } = options;
  using verifier = await openVerifier(options.targetModelPath, runtime);
  const text = await loadTextModel(verifier.folder), layers = layerIdsOf(options, verifier.info.layers);
  if (text.vocabSize > verifier.info.vocabSize) {
    throw new ConfigError(
      options.targetModelPath,
      `expected a tokenizer of at most ${verifier.info.vocabSize} tokens, received ${text.vocabSize}`,
    );
  }
  // A few rows more than tokens are common: tables are padded.
  if (text.vocabSize < 0.9 * verifier.info.vocabSize) {
    const all = `${text.vocabSize} of the verifier's ${verifier.info.vocabSize} tokens`;
    yield note(`The tokenizer knows ${all}: look whether it is this model's`, "warning");
  }
  const plugin = await captureEngine(options.engine ?? "local", runtime);
  const reads = plugin.capabilities.images && verifier.architecture.images?.(verifier.info);
  const images = reads ? { images: await openImages(verifier) } : {};
  using records = await openDataRecords(options, text, { signal: runtime.signal, ...images });
  const store = await openSampleStore(outputDir, options.format ? { format: options.format } : {});
  const dtype = options.dtype ?? modelDtype(verifier.info.raw);
  const kept = keptLayers(options, layers);
  const weights = await weightsFingerprint(verifier.path), { hiddenSize } = verifier.info;
  const config = configOf(options, { hiddenSize, weights, layers: kept, dtype, store });
  const files = filesOf(options, store), there = new Set(await store.list());
  if (there.size > 0) await checkSameData(outputDir, config);
  const tokenFreqPath = options.tokenFreqPath ??
    (options.shard ? frequenciesBeside(outputDir) : "token_freq.pt");
  await requireWritable(outputDir);
  await using _lock = await lockFolder(outputDir);
  await removeUnfinished(outputDir);
  await requireWritable(dirname(tokenFreqPath));

  const perToken = kept.length * hiddenSize * BYTES[dtype] + 16;
  const cost = await estimateCost(records, {
    perToken,
    there: Math.max(there.size, options.startIdx ?? 0),
  });
  const free = await freeSpace(outputDir);
  yield note(describeCost(cost, free));
  if (records.shares) {
    yield note(
      "Mixed: " + records.shares.map(({ name, records }) => `${records} records of ${name}`).join(", "),
    );
  }
  if (!options.yes) checkSpace(cost, free, outputDir);

  const endpoint = options.endpoint === undefined ? {} : { endpoint: options.endpoint };
  await using capture = new Capture({ runtime, verifier, plugin, files, layers, dtype, config, ...endpoint });
  if (cost.trial.length > 0) yield note(describeTime(cost.left, await capture.rate(cost.trial)));
  const run: Run = { options, records, store, there, capture, signal: runtime.signal };
  const made = yield* makeSamples(run);
  // A shard may have none; the others then have them.
  if (made.end === 0 && !options.shard) throw nothingUsable(options, records, made.rejections);
  for (const text of made.rejections.sentences(records.order.length)) yield note(text, "warning");
  const beyond = [...there].filter((index) => index >= made.end).length;
  if (beyond > 0) {
    yield note(
      `${beyond} samples of an earlier run have higher numbers than these, and are still there`,
      "warning",
    );
  }
  await writeFrequencies(tokenFreqPath, made.frequencies);
  await writeLengths(outputDir, made.lengths);
  const before = await readDataConfig(outputDir);
  // Made when its samples were: a run that finds everything there leaves it as it is.
  if (made.fresh > 0 || before?.numSamples !== made.samples) {
    const gpu = capture.gpu ?? (made.fresh > 0 ? undefined : before?.gpu);
    await writeDataConfig(outputDir, {
      ...config,
      numSamples: made.samples,
      ...(gpu === undefined ? {} : { gpu }),
    });
  }
  const { samples, fresh, tokens, trainedTokens } = made, rejected = made.rejections.counts();
  return { folder: outputDir, samples, fresh, tokens, trainedTokens, rejected, seconds: capture.seconds };
}

interface Run {
  readonly options: DatagenOptions;
  readonly records: Records;
  readonly store: SampleStore;
  /** Numbers of samples that an earlier run made. */
  readonly there: ReadonlySet<number>;
  readonly capture: Capture;
  readonly signal: AbortSignal | undefined;
}

interface Made {
  /** Samples in the folder that are of this data set. */
  readonly samples: number;
  /** Number behind the last one, and with it how many there would be from 0 on. */
  readonly end: number;
  readonly fresh: number;
  readonly tokens: number;
  readonly trainedTokens: number;
  readonly frequencies: TokenFrequencies;
  readonly lengths: ReadonlyMap<number, number>;
  readonly rejections: Rejections;
}

/** Works all records in order; samples that are there already are compared, not made again. */
async function* makeSamples(run: Run): Stage<Made> {
  const { capture, options, records, signal, store, there } = run, { order } = records;
  const { endpoint, batchSize = Infinity, startIdx = 0 } = options;
  const budget = options.batchTokens ?? (endpoint === undefined ? 2048 : 32768);
  const frequencies: TokenFrequencies = new Map(), lengths = new Map<number, number>();
  const rejections = new Rejections();
  await using rejectedFile = new RejectedFile(join(options.outputDir, REJECTED_FILE));
  let index = 0, fresh = 0, tokens = 0, trainedTokens = 0, computed = 0, taken = 0;
  let waiting: Pending[] = [], waitingTokens = 0;
  const progress = (done: number): StageEvent => ({
    type: "progress",
    stage: "datagen",
    done,
    total: order.length,
    unit: "samples",
    detail: `${tokens} tokens`,
  });
  /** Passes on what waits, unless all of it is there; what was passed on before is computed then. */
  const flush = async (place: number): Promise<boolean> => {
    const batch = waiting, before = taken;
    [waiting, waitingTokens] = [[], 0];
    if (batch.every(({ known }) => known)) {
      computed = place;
      return true;
    }
    await capture.add(batch);
    taken = place;
    if (before > 0) computed = before;
    return before > 0;
  };
  let place = -1;
  for await (const { found, line, path, patches } of records.inOrder()) {
    place++;
    await turn(signal);
    if ("rejected" in found) {
      rejections.add(found.rejected, { path }, line);
      const detail = found.detail === undefined ? {} : { detail: found.detail };
      await rejectedFile.add({ path, line, reason: found.rejected, ...detail });
      continue;
    }
    const { ids, lossMask } = found;
    countTokens(frequencies, found.counted.ids, found.counted.lossMask);
    if (index >= startIdx || there.has(index)) {
      lengths.set(index, ids.length);
      tokens += ids.length;
      trainedTokens += lossMask.reduce((a, b) => a + b, 0);
    }
    const known = there.has(index) && await isSame(store, index, ids);
    if (index >= startIdx) {
      // Batches are the same wherever a run begins: a sum's rounding depends on what is computed beside it.
      if ((waitingTokens + ids.length > budget || waiting.length >= batchSize) && waiting.length > 0) {
        if (await flush(place)) yield progress(computed);
      }
      // Copies: a view would keep all that was encoded in memory.
      const shown = patches ? { images: patches } : {};
      waiting.push({ index, ids: ids.slice(), lossMask: lossMask.slice(), known, ...shown });
      waitingTokens += ids.length;
      if (!known) fresh++;
    }
    index++;
  }
  await flush(order.length);
  await capture.finish();
  if (computed < order.length) yield progress(order.length);
  if (index > 0 || options.shard) await rejectedFile.commit();
  const { size: samples } = lengths;
  return { samples, end: index, fresh, tokens, trainedTokens, frequencies, lengths, rejections };
}

/**
 * Whether a sample that is there is this one; not if its file is damaged.
 *
 * @throws {ConfigError} when it is another conversation's
 */
async function isSame(store: SampleStore, index: number, ids: Int32Array): Promise<boolean> {
  const before = await store.ids(index);
  if (before === null) return false;
  if (before.length === ids.length && before.every((id, i) => id === ids[i])) return true;
  throw new ConfigError(
    store.path(index),
    `expected the sample of this conversation, ${ids.length} tokens, received another one of ${before.length} tokens`,
    {
      hint:
        "The data set or the tokenizer has changed since these samples were made: use another --output-dir",
    },
  );
}

function note(text: string, level: "info" | "warning" = "info"): StageEvent {
  return { type: "note", stage: "datagen", level, text };
}

function nothingUsable(options: DatagenOptions, records: Records, rejections: Rejections): NotFoundError {
  const { length } = records.order;
  return new NotFoundError(
    options.trainDataPath.join(", "),
    `expected conversations to train on, received ${length} records that are none: ${rejections.summary()}`,
    {
      hint: 'Give a conversation a line, as {"messages": [{"role": "user", "content": "…"}, ' +
        '{"role": "assistant", "content": "…"}]}',
    },
  );
}

function configOf(
  options: DatagenOptions,
  found: {
    readonly hiddenSize: number;
    readonly weights: string;
    readonly layers: readonly number[];
    readonly dtype: "bf16" | "f16" | "f32";
    readonly store: SampleStore;
  },
): DataConfig {
  const { assistantPattern, command, compress = "none", gpuMemoryUtilization, hfCacheDir } = options;
  const { shard, tensorParallelSize } = options;
  return {
    targetModelPath: options.targetModelPath,
    weights: found.weights,
    hiddenSize: found.hiddenSize,
    layers: found.layers,
    seqLength: options.seqLength ?? 2048,
    seed: options.seed ?? 0,
    maxSamples: options.maxSamples ?? null,
    trainDataPath: options.trainDataPath,
    dtype: { bf16: "bfloat16", f16: "float16", f32: "float32" }[found.dtype],
    ending: extname(found.store.path(0)).slice(1),
    strictUpstream: options.strictUpstream ?? false,
    turnDropout: options.turnDropout ?? false,
    packageVersions: { deno: Deno.version.deno, v8: Deno.version.v8 },
    cacheDir: hfCacheDir ?? null,
    ...(assistantPattern === undefined ? {} : { assistantPattern }),
    ...(command === undefined ? {} : { command }),
    ...(compress === "none" ? {} : { compress }),
    ...(gpuMemoryUtilization === undefined ? {} : { gpuMemoryUtilization }),
    ...(tensorParallelSize === undefined ? {} : { tensorParallelSize }),
    ...(shard ? { shard: `${shard.index + 1}/${shard.count}` } : {}),
  };
}

/** Default: what Eagle-3 drafts read when they are served, and the last state as the target. */
function layerIdsOf({ layerIds }: DatagenOptions, n: number): number[] {
  const ids = layerIds ? [...layerIds] : [2, Math.floor(n / 2), n - 3, n];
  const outside = ids.find((id) => !Number.isInteger(id) || id < 0 || id > n);
  if (outside !== undefined) {
    throw new ConfigError("layerIds", `expected ids from 0 to ${n}, received ${outside}`, {
      hint: `Id i is what enters layer i; ${n} is what leaves the last one`,
    });
  }
  return ids.at(-1) === n ? ids : [...ids, n];
}

function keptLayers({ keepLayers }: DatagenOptions, layers: readonly number[]): readonly number[] {
  if (keepLayers === undefined) return layers;
  const other = keepLayers.find((id) => !layers.includes(id));
  if (other !== undefined) {
    throw new ConfigError("keepLayers", `expected some of ${layers.join(", ")}, received ${other}`, {
      hint: "Name it in --layer-ids too, so that the verifier hands it out",
    });
  }
  const last = layers.at(-1)!;
  return [...keepLayers.filter((id) => id !== last), last];
}

function filesOf({ compress = "none" }: DatagenOptions, store: SampleStore): SampleFileOptions {
  const ending = extname(store.path(0)).slice(1) as SampleEnding;
  if (compress !== "none" && ending !== "pt") {
    throw new ConfigError("compress", `expected samples in pt files, received ${ending}`, {
      hint: "Leave one of --compress and --format out: safetensors files are never packed",
    });
  }
  return { folder: store.folder, ending, compress };
}

function modelDtype(config: Readonly<Record<string, unknown>>): "bf16" | "f16" | "f32" {
  const name = config["dtype"] ?? config["torch_dtype"];
  return name === "bfloat16" ? "bf16" : name === "float16" ? "f16" : "f32";
}
