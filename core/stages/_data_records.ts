/** Conversations of data sets in their order, each masked or refused: what datagen captures and a person looks at. */
import { asOneTable } from "../data/arrow.ts";
import { openDataset, parseDatasetName } from "../data/dataset.ts";
import { orderRecords, type RecordOrder } from "../data/order.ts";
import { maskRecord, type MaskResult } from "../data/mask_record.ts";
import { type MaskItem, maskOnThreads, maskThreads } from "../data/mask_records.ts";
import type { RecordSource } from "../data/source.ts";
import { ConfigError, NotFoundError } from "../errors.ts";
import type { ImageInput } from "../images/prompt.ts";
import { placeImages } from "../images/record.ts";
import type { ImagePatches } from "../plugin.ts";
import { chooseMaskRule, type MaskRule, type TextModel } from "../text/mod.ts";

/** What decides which tokens samples have, and which of them are trained on. */
export interface RecordOptions {
  /**
   * Files, folders, data sets of the hub (`organisation/name:config:split`), `sharegpt` or `ultrachat`; one after the
   * other, or mixed where they have weights (`chats.jsonl=2`).
   */
  readonly trainDataPath: readonly string[];
  /** Most tokens of a sample; 2048. */
  readonly seqLength?: number;
  /** Most conversations; all when absent. */
  readonly maxSamples?: number;
  /** Regular expression whose group 1 is the assistant's part; found from the chat template when absent. */
  readonly assistantPattern?: string;
  /** Keep a random number of turns of each conversation. */
  readonly turnDropout?: boolean;
  /** Seed of the order; 0. */
  readonly seed?: number;
  /** Train on just the tokens that the Python system trains on, its mistakes included; samples are a token shorter. */
  readonly strictUpstream?: boolean;
  /** One part of several, from 0: their samples put together are those of one run. */
  readonly shard?: { readonly index: number; readonly count: number };
  /** Folder of the hub's cache. */
  readonly hfCacheDir?: string;
  /** Threads that tokenise; as many as the machine has to spare, none for few records. */
  readonly numPreprocessingWorkers?: number;
}

/** A record as it was found. */
export interface FoundRecord {
  /** Its file. */
  readonly path: string;
  /** Its line there. */
  readonly line: number;
  /** What it holds, or why it cannot be used. */
  readonly found: MaskResult;
  /** Its images. */
  readonly patches?: readonly ImagePatches[];
}

/** Records in their order. */
export interface Records extends Disposable {
  /** The order. */
  readonly order: RecordOrder;
  /** Records of each data set that take part, where they are mixed. */
  readonly shares: readonly { readonly name: string; readonly records: number }[] | null;
  /** How the assistant's part is found. */
  readonly rule: MaskRule;
  /** The record at a place of the order. */
  read(place: number): Promise<FoundRecord>;
  /** All of them, one after the other, masked on other threads where that is worth it; then without texts. */
  inOrder(): AsyncIterable<FoundRecord>;
}

/** A record before it is masked. */
interface RawRecord extends MaskItem {
  readonly path: string;
  readonly line: number;
  /** Why it is none. */
  readonly rejected?: string;
}

/** Fewer records than these are masked before a thread has loaded its tokenizer. */
const MANY_RECORDS = 2000;
/** Most threads that are taken without being asked for: each one has a tokenizer in memory. */
const MAX_THREADS = 4;

/**
 * Opens data sets.
 *
 * @throws {NotFoundError} when one is not there, or none has a record
 * @throws {ConfigError} when only some have weights, or the assistant's part cannot be found
 */
export async function openDataRecords(
  options: RecordOptions,
  model: TextModel,
  { signal, images }: { readonly signal?: AbortSignal | undefined; readonly images?: ImageInput } = {},
): Promise<Records> {
  const { seed = 0, seqLength = 2048, strictUpstream = false, assistantPattern } = options;
  const rule = chooseMaskRule(model, {
    strictUpstream,
    ...(assistantPattern === undefined ? {} : { assistantPattern }),
  });
  const names = await Promise.all(options.trainDataPath.map(parseDatasetName));
  const weights = names.flatMap(({ weight }) => weight ?? []);
  if (weights.length > 0 && weights.length < names.length) {
    const without = names.find(({ weight }) => weight === undefined)!;
    throw new ConfigError(
      "trainDataPath",
      `expected a weight for all data sets or none, received "${without.name}"`,
      {
        hint: `Write ${without.name}=1 to mix it with the others`,
      },
    );
  }
  const sources: RecordSource[] = [];
  const close = () => sources.forEach((source) => source[Symbol.dispose]());
  try {
    for (const { name } of names) {
      const cache = options.hfCacheDir === undefined ? {} : { cache: options.hfCacheDir };
      const source = await openDataset(name, { ...cache, ...(signal ? { signal } : {}) });
      sources.push(source);
      if (strictUpstream) {
        sources[sources.length - 1] = await asOneTable(name === "ultrachat" ? renamed(source) : source);
      }
    }
    const order = orderRecords(sources.map(({ count }) => count), {
      seed,
      ...(options.maxSamples === undefined ? {} : { limit: options.maxSamples }),
      ...(weights.length > 0 ? { weights } : {}),
      ...(options.shard ? { shard: options.shard } : {}),
    });
    if (sources.every(({ count }) => count === 0)) {
      throw new NotFoundError(
        names.map(({ name }) => name).join(", "),
        "expected conversations, received none",
      );
    }
    const counts = sources.map(() => 0);
    for (let i = 0; i < order.length; i++) counts[order.source(i)]!++;
    const raw = async (place: number): Promise<RawRecord> => {
      const source = sources[order.source(place)]!, result = await source.read(order.record(place));
      const at = { path: result.path ?? source.path, line: result.line };
      // By its place, so that a record's turns do not depend on where a run began.
      const drawn = options.turnDropout
        ? { dropoutSeed: (BigInt(seed) << 32n) + BigInt(order.first + place) }
        : {};
      return "rejected" in result
        ? { ...at, rejected: result.rejected }
        : { ...at, record: result.record, ...drawn };
    };
    const mask = { seqLength, strictUpstream }, text = { model, rule };
    const complete = async (one: FoundRecord): Promise<FoundRecord> => {
      const { found, path } = one;
      if ("rejected" in found || !found.images) return one;
      if (!images) return { ...one, found: { rejected: "content has images" } };
      const placed = await placeImages(found, images, { path, seqLength });
      if ("rejected" in placed) return { ...one, found: placed };
      return { ...one, found: placed.record, patches: placed.patches };
    };
    const read = async (place: number): Promise<FoundRecord> => {
      const { line, path, ...item } = await raw(place);
      if (item.rejected !== undefined) return { path, line, found: { rejected: item.rejected } };
      const { dropoutSeed, record } = item, drawn = dropoutSeed === undefined ? {} : { dropoutSeed };
      return await complete({ path, line, found: maskRecord(record, text, { ...mask, ...drawn }) });
    };
    const threads = maskThreads(threadsFor(options, order.length), order.length);
    const given = assistantPattern === undefined ? {} : { assistantPattern };
    const setup = { ...mask, ...given, model: model.path };
    return {
      order,
      shares: weights.length === 0 ? null : counts.map((records, i) => ({ name: names[i]!.name, records })),
      rule,
      read,
      async *inOrder() {
        if (threads === 0) {
          for (let place = 0; place < order.length; place++) yield await read(place);
          return;
        }
        for await (
          const { item, result } of maskOnThreads(order.length, { threads, setup, read: raw })
        ) {
          const { line, path, rejected } = item;
          yield await complete({ path, line, found: rejected === undefined ? result : { rejected } });
        }
      },
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function threadsFor({ numPreprocessingWorkers }: RecordOptions, records: number): number {
  if (numPreprocessingWorkers !== undefined) return numPreprocessingWorkers;
  return records < MANY_RECORDS ? 0 : Math.min(MAX_THREADS, navigator.hardwareConcurrency - 1);
}

/** What upstream does to this one data set: its column becomes the one that is read. */
function renamed(source: RecordSource): RecordSource {
  return {
    path: source.path,
    count: source.count,
    async read(index) {
      const found = await source.read(index);
      if ("rejected" in found || found.record.messages === undefined) return found;
      return { ...found, record: { conversations: found.record.messages } };
    },
    [Symbol.dispose]: () => source[Symbol.dispose](),
  };
}
