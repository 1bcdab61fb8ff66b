/** The samples of one or several data folders, and which of them are held out. */
import { dirname } from "node:path";
import { readDataConfig } from "../data/data_config.ts";
import { splitSamples } from "../data/split.ts";
import { openSampleStore, type SampleStore } from "../data/store.ts";
import { ConfigError, FormatError, NotFoundError } from "../errors.ts";
import { requireFolder } from "../folders.ts";
import type { DraftNeeds } from "../plugin.ts";
import type { SampleList } from "./batches.ts";

const HINT = "Make samples with the command datagen, and give its --output-dir";

/** A list that closes its stores. */
export type OpenSampleList = SampleList & Disposable & {
  /** Files that are there but so damaged that their length is unknown. */
  readonly damaged: readonly string[];
};

/**
 * Opens data folders and lists their samples in order.
 *
 * @throws {NotFoundError} when a folder is not there or has no samples
 * @throws {FormatError} when a sample is damaged, unless `skipDamaged` leaves it out
 */
export async function listSamples(
  folders: readonly string[],
  options: { readonly skipDamaged?: boolean } = {},
): Promise<OpenSampleList> {
  const items: { store: SampleStore; index: number }[] = [], lengths: number[] = [], damaged: string[] = [];
  for (const folder of folders) {
    await requireFolder(folder, { what: "samples", hint: HINT });
    const store = await openSampleStore(folder);
    const found = await lengthsOf(store, options.skipDamaged ?? false);
    const indices = await store.list();
    if (indices.length === 0) {
      throw new NotFoundError(folder, "expected samples named data_{i}.pt or .safetensors, received none", {
        hint: HINT,
      });
    }
    for (const index of indices) {
      const length = found.get(index);
      if (length === undefined) {
        damaged.push(store.path(index));
        continue;
      }
      items.push({ store, index });
      lengths.push(length);
    }
  }
  return { items, lengths, damaged, [Symbol.dispose]() {} };
}

async function lengthsOf(store: SampleStore, skipDamaged: boolean): Promise<ReadonlyMap<number, number>> {
  try {
    return await store.lengths();
  } catch (error) {
    if (!skipDamaged || !(error instanceof FormatError)) throw error;
  }
  const found = new Map<number, number>();
  for (const index of await store.list()) {
    const ids = await store.ids(index);
    if (ids) found.set(index, ids.length);
  }
  return found;
}

/** Holds out a tenth, as upstream does, or what a ratio leaves. */
export function splitList(list: SampleList, ratio = 0.9): { train: SampleList; validation: SampleList } {
  const { train, validation } = splitSamples(list.items.map((_, i) => i), { ratio });
  const pick = (indices: readonly number[]): SampleList => ({
    items: indices.map((i) => list.items[i]!),
    lengths: indices.map((i) => list.lengths[i]!),
  });
  return { train: pick(train), validation: pick(validation) };
}

/**
 * Ids of the states that folders say they hold, in the convention of serving, whichever one they were written in;
 * `null` where they say nothing or differ.
 */
export async function statesHeld(folders: readonly string[]): Promise<readonly number[] | null> {
  const found = await Promise.all(folders.map(readDataConfig));
  const [first] = found.map((config) => config?.layers ?? null);
  return first && found.every((config) => config?.layers.join() === first.join()) ? first : null;
}

/**
 * The same samples, of each only the states that a draft works with: a folder may hold more of them, or one that is
 * wanted twice. A folder that does not say what it holds is taken as it is.
 *
 * @param layers of the verifier: the number of its last state
 * @throws {ConfigError} when a folder holds as many states as are wanted, but others
 */
export async function takeStates(list: SampleList, needs: DraftNeeds, layers: number): Promise<SampleList> {
  const wanted = [...needs.layers, ...needs.last ? [layers] : []];
  const found = new Map<SampleStore, readonly number[] | null>();
  for (const { store, index } of list.items) {
    if (found.has(store)) continue;
    const config = await readDataConfig(dirname(store.path(index)));
    const held = config?.layers ?? [], places = wanted.map((id) => held.indexOf(id));
    if (places.includes(-1) && held.length === wanted.length) {
      throw new ConfigError(
        store.folder,
        `expected the states ${wanted.join(", ")} that the draft reads, received ${held.join(", ")}`,
        {
          hint:
            "Make the samples with the --layer-ids of the draft, or train a draft with those of the samples",
        },
      );
    }
    found.set(store, places.includes(-1) || held.join() === wanted.join() ? null : places);
  }
  const items = list.items.map((item) => {
    const states = found.get(item.store);
    return states ? { ...item, states } : item;
  });
  return { items, lengths: list.lengths };
}
