/**
 * Data sets to evaluate on: local files and folders, and those of the hub, each measured on its own.
 *
 * @module
 */
import { basename, join } from "node:path";
import { NotFoundError } from "../errors.ts";
import { isHubDataset, resolveDataset } from "../hub_data.ts";

/** Prompts that are measured together. */
export interface DataSet {
  /** What it is called in results. */
  readonly name: string;
  /** Its files. */
  readonly paths: readonly string[];
}

const DATA_FILE = /\.(jsonl?|parquet)$/i;

/**
 * The data sets that texts name: a file; a folder, each of whose files is one; `folder:file`; and those of the hub, as
 * `organisation/name`, with `:split`, `:config:split` or `:file.jsonl` behind it.
 *
 * source: upstream's `run_guidellm.sh`, which reads a folder and a file behind a colon in the same way
 *
 * @throws {NotFoundError} when there is no such thing
 */
export async function findDataSets(
  names: readonly string[],
  options: { readonly signal?: AbortSignal } = {},
): Promise<DataSet[]> {
  const found: DataSet[] = [];
  for (const name of names) found.push(...await find(name, options));
  return distinct(found);
}

async function find(name: string, options: { readonly signal?: AbortSignal }): Promise<DataSet[]> {
  if (await isFolder(name)) return await filesOf(name);
  const colon = name.lastIndexOf(":"), folder = name.slice(0, colon), file = name.slice(colon + 1);
  if (colon > 0 && await isFolder(folder)) {
    const all = await filesOf(folder), one = all.filter(({ paths: [path] }) => basename(path!) === file);
    if (one.length > 0) return one;
    const names = all.map(({ paths: [path] }) => basename(path!)).slice(0, 8).join(", ");
    throw new NotFoundError(name, `expected a file of the folder, received others: ${names}`, {
      hint: "Name one of them behind the colon, or the folder alone for all of them",
    });
  }
  // A file that is not there is told as that, not looked for on the hub.
  if (!DATA_FILE.test(name.split(":")[0]!) && await isHubDataset(name)) {
    return [{ name, paths: await resolveDataset(name, options) }];
  }
  return [{ name: basename(name).replace(DATA_FILE, ""), paths: [name] }];
}

async function filesOf(folder: string): Promise<DataSet[]> {
  const names = (await Array.fromAsync(Deno.readDir(folder)))
    .filter((entry) => !entry.isDirectory && DATA_FILE.test(entry.name)).map((entry) => entry.name).sort();
  if (names.length > 0) {
    return names.map((name) => ({ name: name.replace(DATA_FILE, ""), paths: [join(folder, name)] }));
  }
  throw new NotFoundError(folder, "expected .jsonl or .json files in the folder, received none", {
    hint: "Give a file of conversations or a folder with some; .parquet is taken too",
  });
}

/** Gives those of the same name a number. */
function distinct(sets: readonly DataSet[]): DataSet[] {
  const seen = new Map<string, number>();
  return sets.map(({ name, paths }) => {
    const times = (seen.get(name) ?? 0) + 1;
    seen.set(name, times);
    return { name: times === 1 ? name : `${name} (${times})`, paths };
  });
}

async function isFolder(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isDirectory }) => isDirectory, () => false);
}
