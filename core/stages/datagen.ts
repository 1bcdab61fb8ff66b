/**
 * From conversations to training samples: each is rendered, tokenised and masked, the verifier runs over it, and the
 * states a draft learns from are kept. Stopped at any point, the same call goes on where it was.
 *
 * @module
 */
import { dirname, extname } from "node:path";
import { type DataConfig, writeDataConfig } from "../data/data_config.ts";
import { writeLengths } from "../data/lengths.ts";
import { preprocessRecord } from "../data/preprocess.ts";
import { Rejections } from "../data/rejections.ts";
import { numpyPermutation, PythonRandom } from "../data/random.ts";
import { openRecords, type RecordSource } from "../data/source.ts";
import { openSampleStore, type SampleEnding, type SampleStore } from "../data/store.ts";
import { writeFrequencies } from "../data/frequencies.ts";
import { countTokens, type TokenFrequencies } from "../data/vocabulary.ts";
import { ConfigError, NotFoundError, PluginError, SpeculatorsError } from "../errors.ts";
import type { Stage } from "../events.ts";
import { removeUnfinished } from "../files.ts";
import { requireWritable } from "../folders.ts";
import { convert } from "../formats/dtype.ts";
import type { Engine, EnginePlugin } from "../plugin.ts";
import type { Runtime } from "../runtime.ts";
import type { Backend, HostTensor } from "../tensor.ts";
import { chooseMaskRule, loadTextModel } from "../text/mod.ts";
import { turn } from "../turn.ts";
import { openVerifier } from "../verifier.ts";
import { checkSameData } from "./same_data.ts";

/** What samples are made of; names and defaults are upstream's. */
export interface DatagenOptions {
  /** Folder of the verifier. */
  readonly targetModelPath: string;
  /** Files or folders of conversations, one after the other. */
  readonly trainDataPath: readonly string[];
  /** Where samples go. */
  readonly outputDir: string;
  /** Most tokens of a sample; 2048. */
  readonly seqLength?: number;
  /** Most conversations; all when absent. */
  readonly maxSamples?: number;
  /** Where the frequencies of trained tokens go; `token_freq.pt`. */
  readonly tokenFreqPath?: string;
  /** Regular expression whose group 1 is the assistant's part; found from the chat template when absent. */
  readonly assistantPattern?: string;
  /** Keep a random number of turns of each conversation. */
  readonly turnDropout?: boolean;
  /** States kept, serving convention; 2, n/2, n − 3 and n when absent. The last one must be n. */
  readonly layerIds?: readonly number[];
  /** Tokens that the verifier works on at once; 2048. */
  readonly batchTokens?: number;
  /** Seed of the order; 0. */
  readonly seed?: number;
  /** Element type of the states; the model's when absent. */
  readonly dtype?: "bf16" | "f16" | "f32";
  /** Format of new samples. */
  readonly format?: SampleEnding;
  /** Engine plugin; `local`. */
  readonly engine?: string;
  /** Address of the engine's server. */
  readonly endpoint?: string;
}

/** What was made. */
export interface DatagenResult {
  /** The folder. */
  readonly folder: string;
  /** Samples in it. */
  readonly samples: number;
  /** Of them, made by this call. */
  readonly fresh: number;
  /** Their tokens. */
  readonly tokens: number;
  /** Of these, trained on. */
  readonly trainedTokens: number;
  /** Conversations that could not be used, by reason. */
  readonly rejected: Readonly<Record<string, number>>;
}

/** A sequence that waits for its states. */
interface Pending {
  readonly index: number;
  readonly ids: Int32Array;
  readonly lossMask: Uint8Array;
}

/**
 * Makes training samples.
 *
 * @throws {NotFoundError} when a file or the model is not there
 * @throws {ConfigError} when options do not fit the model or samples that are there already
 */
export async function* datagen(options: DatagenOptions, runtime: Runtime): Stage<DatagenResult> {
  const { seqLength = 2048, batchTokens = 2048, seed = 0, outputDir } = options;
  using verifier = await openVerifier(options.targetModelPath, runtime);
  const text = await loadTextModel(verifier.folder), layers = layerIdsOf(options, verifier.info.layers);
  if (text.vocabSize > verifier.info.vocabSize) {
    throw new ConfigError(
      options.targetModelPath,
      `expected a tokenizer of at most ${verifier.info.vocabSize} tokens, received ${text.vocabSize}`,
    );
  }
  const { assistantPattern } = options;
  const rule = chooseMaskRule(text, assistantPattern === undefined ? {} : { assistantPattern });
  const sources = await openAll(options.trainDataPath);
  try {
    const store = await openSampleStore(outputDir, options.format ? { format: options.format } : {});
    const dtype = options.dtype ?? modelDtype(verifier.info.raw);
    const config: DataConfig = {
      targetModelPath: options.targetModelPath,
      hiddenSize: verifier.info.hiddenSize,
      layers,
      seqLength,
      seed,
      maxSamples: options.maxSamples ?? null,
      trainDataPath: options.trainDataPath,
      dtype: { bf16: "bfloat16", f16: "float16", f32: "float32" }[dtype],
      ending: extname(store.path(0)).slice(1),
    };
    const there = new Set(await store.list());
    if (there.size > 0) await checkSameData(outputDir, config);
    const order = selectRecords(sources, { seed, maxSamples: options.maxSamples ?? Infinity });
    const tokenFreqPath = options.tokenFreqPath ?? "token_freq.pt";
    await requireWritable(outputDir);
    await removeUnfinished(outputDir);
    await requireWritable(dirname(tokenFreqPath));
    const turnDropout = options.turnDropout ? { turnDropout: new PythonRandom(seed) } : {};
    const frequencies: TokenFrequencies = new Map(), lengths = new Map<number, number>();
    const rejections = new Rejections();
    let index = 0, fresh = 0, tokens = 0, trainedTokens = 0, waiting: Pending[] = [];

    const plugin = await enginePlugin(options, runtime);
    await using capture = new Capture(options, { runtime, verifier, plugin, store, layers, dtype, config });
    for (const [done, { source, record }] of order.entries()) {
      await turn(runtime.signal);
      const found = await source.read(record);
      const made = "rejected" in found
        ? { rejected: { reason: found.rejected } }
        : preprocessRecord(found.record, { model: text, rule, maxLength: seqLength, ...turnDropout });
      if ("rejected" in made) {
        rejections.add(made.rejected.reason, source, found.line);
      } else {
        const { ids, lossMask } = made.sequence;
        countTokens(frequencies, ids, lossMask);
        lengths.set(index, ids.length);
        tokens += ids.length;
        trainedTokens += lossMask.reduce((a, b) => a + b, 0);
        if (!there.has(index)) waiting.push({ index, ids, lossMask });
        index++;
      }
      const ready = waiting.reduce((sum, { ids }) => sum + ids.length, 0) >= batchTokens;
      if (!ready && done + 1 < order.length) continue;
      fresh += waiting.length;
      await capture.write(waiting);
      waiting = [];
      yield {
        type: "progress",
        stage: "datagen",
        done: done + 1,
        total: order.length,
        unit: "samples",
        detail: `${tokens} tokens`,
      };
    }
    await capture.finish();
    if (index === 0) {
      throw new NotFoundError(
        options.trainDataPath.join(", "),
        `expected conversations to train on, received ${order.length} records that are none: ${rejections.summary()}`,
        {
          hint: 'Give a conversation a line, as {"messages": [{"role": "user", "content": "…"}, ' +
            '{"role": "assistant", "content": "…"}]}',
        },
      );
    }
    for (const text of rejections.sentences(order.length)) {
      yield { type: "note", stage: "datagen", level: "warning", text };
    }
    await writeFrequencies(tokenFreqPath, frequencies);
    await writeLengths(outputDir, lengths);
    await writeDataConfig(outputDir, { ...config, numSamples: index });
    const rejected = rejections.counts();
    return { folder: outputDir, samples: index, fresh, tokens, trainedTokens, rejected };
  } finally {
    for (const source of sources) source[Symbol.dispose]();
  }
}

/** Runs the verifier and writes samples; the files of one batch are written while the next one is computed. */
class Capture implements AsyncDisposable {
  readonly #open: () => Promise<Engine>;
  readonly #plugin: EnginePlugin;
  readonly #store: SampleStore;
  readonly #layers: readonly number[];
  readonly #dtype: "bf16" | "f16" | "f32";
  readonly #config: DataConfig;
  #engine: Engine | null = null;
  #backend: Backend | null = null;
  #writes: Promise<void>[] = [];

  constructor(
    options: DatagenOptions,
    what: {
      runtime: Runtime;
      verifier: Awaited<ReturnType<typeof openVerifier>>;
      plugin: EnginePlugin;
      store: SampleStore;
      layers: readonly number[];
      dtype: "bf16" | "f16" | "f32";
      config: DataConfig;
    },
  ) {
    const { runtime, verifier, plugin } = what;
    this.#plugin = plugin;
    this.#store = what.store;
    this.#layers = what.layers;
    this.#dtype = what.dtype;
    this.#config = what.config;
    this.#open = () =>
      plugin.open({
        info: verifier.info,
        loadVerifier: async () => {
          this.#backend = await runtime.openBackend();
          return await verifier.load(this.#backend, runtime.signal ? { signal: runtime.signal } : {});
        },
        ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
      });
  }

  async write(samples: readonly Pending[]): Promise<void> {
    if (samples.length === 0) return;
    if (!this.#engine) {
      this.#engine = await this.#open();
      // Says what the samples are, so it is there before the first of them, and not without one.
      await writeDataConfig(this.#store.folder, this.#config);
    }
    const states = await this.#states(this.#engine, samples);
    await this.finish();
    this.#writes = samples.map(({ index, ids, lossMask }, i) =>
      this.#store.write(index, {
        inputIds: ids,
        lossMask,
        hidden: states[i]!.map((state) => convert(state, this.#dtype)),
      })
    );
    for (const write of this.#writes) write.catch(() => {}); // reported when it is awaited
  }

  async #states(engine: Engine, samples: readonly Pending[]): Promise<HostTensor[][]> {
    try {
      return await engine.capture(samples.map(({ ids }) => ids), this.#layers);
    } catch (cause) {
      if (cause instanceof SpeculatorsError) throw cause;
      throw new PluginError(this.#plugin.name, "it failed while capturing hidden states", { cause });
    }
  }

  async finish(): Promise<void> {
    await Promise.all(this.#writes);
  }

  /** Waits for files being written: none is left half-written when the program ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#writes);
    this.#engine?.[Symbol.dispose]();
    this.#backend?.[Symbol.dispose]();
  }
}

async function enginePlugin(options: DatagenOptions, runtime: Runtime): Promise<EnginePlugin> {
  const plugin = await runtime.registry.get("engine", options.engine ?? "local");
  if (plugin.capabilities.capture) return plugin;
  throw new ConfigError("engine", `expected one that captures hidden states, received "${plugin.name}"`);
}

async function openAll(paths: readonly string[]): Promise<RecordSource[]> {
  const sources: RecordSource[] = [];
  try {
    for (const path of paths) sources.push(await openRecords(path));
    return sources;
  } catch (error) {
    for (const source of sources) source[Symbol.dispose]();
    throw error;
  }
}

/** The records in the order they are worked, each source shuffled as upstream does. */
function selectRecords(
  sources: readonly RecordSource[],
  options: { readonly seed: number; readonly maxSamples: number },
): { source: RecordSource; record: number }[] {
  const all = sources.flatMap((source) =>
    Array.from(numpyPermutation(source.count, options.seed), (record) => ({ source, record }))
  );
  if (all.length === 0) {
    const paths = sources.map((source) => source.path).join(", ");
    throw new NotFoundError(paths, "expected conversations, received none");
  }
  return all.slice(0, options.maxSamples);
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

function modelDtype(config: Readonly<Record<string, unknown>>): "bf16" | "f16" | "f32" {
  const name = config["dtype"] ?? config["torch_dtype"];
  return name === "bfloat16" ? "bf16" : name === "float16" ? "f16" : "f32";
}
