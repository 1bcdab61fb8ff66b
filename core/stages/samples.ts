/** The samples of one or several data folders, and which of them are held out. */
import { splitSamples } from "../data/split.ts";
import { openSampleStore, type SampleStore } from "../data/store.ts";
import { NotFoundError } from "../errors.ts";
import { requireFolder } from "../folders.ts";
import type { SampleList } from "./batches.ts";

const HINT = "Make samples with the command datagen, and give its --output-dir";

/** A list that closes its stores. */
export type OpenSampleList = SampleList & Disposable;

/**
 * Opens data folders and lists their samples in order.
 *
 * @throws {NotFoundError} when a folder is not there or has no samples
 */
export async function listSamples(folders: readonly string[]): Promise<OpenSampleList> {
  const stores: SampleStore[] = [],
    items: { store: SampleStore; index: number }[] = [],
    lengths: number[] = [];
  for (const folder of folders) {
    await requireFolder(folder, { what: "samples", hint: HINT });
    const store = await openSampleStore(folder);
    stores.push(store);
    const found = await store.lengths();
    const indices = await store.list();
    if (indices.length === 0) {
      throw new NotFoundError(folder, "expected samples named data_{i}.pt or .safetensors, received none", {
        hint: HINT,
      });
    }
    for (const index of indices) {
      items.push({ store, index });
      lengths.push(found.get(index) ?? 0);
    }
  }
  return { items, lengths, [Symbol.dispose]() {} };
}

/** Holds out a tenth, as upstream does. */
export function splitList(list: SampleList): { train: SampleList; validation: SampleList } {
  const { train, validation } = splitSamples(list.items.map((_, i) => i));
  const pick = (indices: readonly number[]): SampleList => ({
    items: indices.map((i) => list.items[i]!),
    lengths: indices.map((i) => list.lengths[i]!),
  });
  return { train: pick(train), validation: pick(validation) };
}
