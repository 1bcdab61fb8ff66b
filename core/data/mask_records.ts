/**
 * Records masked on other threads, in their order: a tokenizer is slow, and its thread has the verifier to run.
 *
 * @module
 */
import { Helper, mayLoadHelper } from "../helper.ts";
import type { MaskResult } from "./mask_record.ts";

/** Records that are sent at once: a message costs about as much as one of them. */
const CHUNK = 32;
/** Chunks that each thread has: one to work on, one to go on with. */
const AHEAD = 2;

/** What a thread makes ready for. */
export interface MaskSetup {
  /** Folder of the model. */
  readonly model: string;
  /** Most tokens of a sample. */
  readonly seqLength: number;
  /** Train on just the tokens that the Python system trains on. */
  readonly strictUpstream: boolean;
  /** Regular expression whose group 1 is the assistant's part. */
  readonly assistantPattern?: string;
}

/** A record to be masked. */
export interface MaskItem {
  /** It; absent where it is known to be none. */
  readonly record?: unknown;
  /** Seed of the number of turns that are kept. */
  readonly dropoutSeed?: bigint;
}

/** What a thread is asked. */
export interface MaskRequest {
  /** The same with every request: only the first one counts. */
  readonly setup: MaskSetup;
  /** What is masked. */
  readonly items: readonly MaskItem[];
}

/** Threads that are worth starting for a number of records. */
export function maskThreads(wanted: number, records: number): number {
  const url = helperUrl();
  return mayLoadHelper(url) ? Math.min(wanted, Math.ceil(records / CHUNK)) : 0;
}

/**
 * Masks records on some threads; results come in the order of the records.
 *
 * @param read the record at a place
 */
export async function* maskOnThreads<T extends MaskItem>(
  count: number,
  options: {
    readonly threads: number;
    readonly setup: MaskSetup;
    readonly read: (place: number) => Promise<T>;
  },
): AsyncGenerator<{ readonly item: T; readonly result: MaskResult }, void, void> {
  const { read, setup, threads } = options;
  using started = new DisposableStack();
  const helpers = Array.from({ length: threads }, () => started.use(new Helper(helperUrl())));
  const begin = async (chunk: number) => {
    const items: T[] = [], end = Math.min(count, (chunk + 1) * CHUNK);
    for (let place = chunk * CHUNK; place < end; place++) items.push(await read(place));
    const sent = items.map(({ record, dropoutSeed }): MaskItem => ({
      record,
      ...(dropoutSeed === undefined ? {} : { dropoutSeed }),
    }));
    const results = await helpers[chunk % threads]!.ask<MaskResult[]>({ body: { setup, items: sent } });
    return items.map((item, i) => ({ item, result: results[i]! }));
  };
  const chunks = Math.ceil(count / CHUNK), waiting: ReturnType<typeof begin>[] = [];
  for (let next = 0, done = 0; done < chunks; done++) {
    for (; next < chunks && next < done + AHEAD * threads; next++) {
      const asked = begin(next);
      asked.catch(() => {}); // told when its turn comes
      waiting.push(asked);
    }
    yield* await waiting.shift()!;
  }
}

function helperUrl(): URL {
  return new URL("./mask_records_helper.ts", import.meta.url);
}
