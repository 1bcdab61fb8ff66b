/**
 * Data sets of the Hugging Face hub, kept in the cache that other programs share.
 *
 * @module
 */
import { join } from "node:path";
import { ConfigError, NotFoundError } from "./errors.ts";
import { readJson, readText, writeFileAtomic, writeJsonAtomic } from "./files.ts";
import { fetchFile, type HubRequest } from "./_hub_download.ts";
import { hubListing, isUnreachable } from "./_hub_listing.ts";
import { hubSettings } from "./_hub_settings.ts";
import type { ResolveOptions } from "./hub.ts";

/** How a data set is found. */
export interface ResolveDatasetOptions extends Pick<ResolveOptions, "env" | "signal" | "onProgress"> {
  /** Folder of the cache, instead of the one that the environment says. */
  readonly cache?: string;
}

/** Where the hub keeps every data set as Parquet files, `<config>/<split>/<number>.parquet`. */
const CONVERTED = "refs/convert/parquet";

const DATA_FILE = /\.(jsonl?|parquet)$/i;

const DATASET_ID =
  /^([A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95})(?:@([\w.-][\w./-]{0,199}))?(?::([\w. -]{1,128}))?(?::([\w. -]{1,128}))?$/;

/** What is wanted of a data set. */
interface Wanted {
  readonly name: string;
  readonly config: string | undefined;
  readonly split: string | undefined;
}

/** Whether a name can only be a data set of the hub: nothing local is called that. */
export async function isHubDataset(name: string): Promise<boolean> {
  return DATASET_ID.test(name) && !await Deno.lstat(name).then(() => true, () => false);
}

/**
 * The local files of a data set of the hub, in order. What is not on this machine is fetched.
 *
 * @param name `organisation/name`, and behind it `@revision`, `:split`, `:config:split` or `:file.jsonl`. Without a
 * revision the files that the hub has converted to Parquet are taken, or the named file as its authors left it. The config is
 * the only one or `default`, the split `train`, unless given
 * @throws {NotFoundError} when the hub has no such data set, or cannot be asked and the cache does not have it
 * @throws {ConfigError} when the data set has no such config or split
 * @throws {FormatError} when a file comes in damaged
 */
export async function resolveDataset(name: string, options: ResolveDatasetOptions = {}): Promise<string[]> {
  const found = DATASET_ID.exec(name);
  if (!found) throw new NotFoundError(name, "expected organisation/name:config:split, received another text");
  const [, id, written, first, second] = found as unknown as [string, string, ...(string | undefined)[]];
  if (written?.split("/").includes("..")) {
    throw new NotFoundError(name, `expected a branch, tag or commit, received "${written}"`);
  }
  const read = hubSettings(options.env), settings = { ...read, cache: options.cache ?? read.cache };
  const repository = join(settings.cache, `datasets--${id.replace("/", "--")}`);
  const work = (revision: string): HubRequest => ({
    ...options,
    kind: "datasets",
    id,
    revision,
    settings,
    repository,
  });
  // One word behind the name is a split.
  const wanted = second === undefined
    ? { config: undefined, split: first }
    : { config: first, split: second };
  // A file is named as its authors named it.
  const isFile = DATA_FILE.test(second ?? first ?? "");
  const attempts = written === undefined ? isFile ? ["main"] : [CONVERTED, "main"] : [written];
  let missing: unknown;
  for (const revision of attempts) {
    try {
      return await filesOf(work(revision), { name, ...wanted });
    } catch (error) {
      // Data sets that were never converted have no such revision.
      if (!(error instanceof NotFoundError) || revision === attempts.at(-1)) throw missing ?? error;
      missing = settings.offline ? error : undefined; // what is told offline is that the cache lacks it
    }
  }
  return [];
}

async function filesOf(work: HubRequest, wanted: Wanted): Promise<string[]> {
  if (work.settings.offline) return await cached(work, wanted);
  try {
    const { sha, names } = await hubListing(work), chosen = chooseData(names, work.revision, wanted);
    const snapshot = join(work.repository, "snapshots", sha);
    for (const name of chosen) await fetchFile(work, { sha, name, snapshot });
    // For a machine without a network: a snapshot may hold a part of the files only.
    await writeJsonAtomic(join(work.repository, "listings", `${sha}.json`), names);
    await writeFileAtomic(join(work.repository, "refs", work.revision), sha);
    return chosen.map((name) => join(snapshot, name));
  } catch (cause) {
    if (!isUnreachable(cause)) throw cause;
    return await cached(work, wanted, cause);
  }
}

/** The files from the cache, all of them or none. */
async function cached(work: HubRequest, wanted: Wanted, cause?: unknown): Promise<string[]> {
  const { id, revision, repository, settings } = work;
  const isCommit = /^[0-9a-f]{40}$/.test(revision);
  const sha = isCommit
    ? revision
    : (await readText(join(repository, "refs", revision), { maxBytes: 1024 }).catch(() => "")).trim();
  const snapshot = join(repository, "snapshots", sha);
  const names = await readJson(join(repository, "listings", `${sha}.json`)).catch(() => null);
  if (/^[0-9a-f]{40}$/.test(sha) && Array.isArray(names) && names.every((name) => typeof name === "string")) {
    const paths = chooseData(names, revision, wanted).map((name) => join(snapshot, name));
    const there = await Promise.all(paths.map((path) => Deno.stat(path).then(() => true, () => false)));
    if (!there.includes(false)) return paths;
  }
  const why = settings.offline ? "offline mode is on" : `${settings.endpoint} could not be reached`;
  throw new NotFoundError(
    `${id}@${revision}`,
    `expected a local file or folder, or a data set in the cache ${settings.cache}, received none, and ${why}`,
    {
      ...(cause === undefined ? {} : { cause }),
      hint: settings.offline
        ? "Check the name, or unset HF_HUB_OFFLINE to ask the hub"
        : "Check the name and the network, or give a local file",
    },
  );
}

/** The files of a config's split. */
function chooseData(names: readonly string[], revision: string, wanted: Wanted): string[] {
  const safe = names.filter((name) =>
    /^[\w. -][\w./ -]*\.(parquet|jsonl?)$/i.test(name) && !name.split("/").some((part) => /^\.*$/.test(part))
  ).sort();
  return revision === CONVERTED ? chooseConverted(safe, wanted) : chooseByName(safe, wanted);
}

function chooseConverted(names: readonly string[], wanted: Wanted): string[] {
  const parts = names.map((name) => ({ name, parts: name.split("/") })).filter(({ parts }) =>
    parts.length === 3
  );
  const configs = [...new Set(parts.map(({ parts }) => parts[0]!))];
  const config = pick(
    "config",
    configs,
    wanted.config,
    configs.length === 1 ? configs[0]! : "default",
    wanted,
  );
  const ofConfig = parts.filter(({ parts }) => parts[0] === config);
  // The hub converts the first gigabytes of a large split only, and says so in the folder's name.
  const splitOf = (folder: string) => folder.replace(/^partial-/, "");
  const splits = [...new Set(ofConfig.map(({ parts }) => splitOf(parts[1]!)))];
  const split = pick("split", splits, wanted.split, splits.length === 1 ? splits[0]! : "train", wanted);
  return ofConfig.filter(({ parts }) => splitOf(parts[1]!) === split).map(({ name }) => name);
}

/** Files of a repository as its authors laid it out: the split is a word of the path. */
function chooseByName(names: readonly string[], wanted: Wanted): string[] {
  const data = names.filter((name) =>
    !/(^|\/)(dataset_infos?|dataset_dict|state|config|.*_config)\.json$/.test(name)
  );
  const has = (word: string) => (name: string) =>
    new RegExp(`(^|[/._-])${RegExp.escape(word)}([/._-]|$)`).test(name);
  const ofConfig = wanted.config === undefined ? data : data.filter(has(wanted.config));
  const { split = "train" } = wanted, isFile = DATA_FILE.test(split);
  let chosen = ofConfig.filter(isFile ? (name) => name === split || name.endsWith(`/${split}`) : has(split));
  if (chosen.length === 0 && (wanted.split === undefined || wanted.split === "train")) chosen = ofConfig;
  // The same records are often there in several formats.
  const formats = [/\.parquet$/i, /\.jsonl$/i, /\.json$/i];
  const format = formats.find((ending) => chosen.some((name) => ending.test(name)));
  if (format) return chosen.filter((name) => format.test(name));
  throw new ConfigError(
    wanted.name,
    `expected Parquet or JSON files of ${
      [wanted.config, wanted.split ?? "train"].filter(Boolean).join(":")
    }, ` +
      `received ${some(names)}`,
    { hint: "Name a config and a split of the data set, as in organisation/name:config:split" },
  );
}

function pick(
  what: string,
  names: readonly string[],
  given: string | undefined,
  usual: string,
  wanted: Wanted,
): string {
  const name = given ?? usual;
  if (names.includes(name)) return name;
  throw new ConfigError(
    wanted.name,
    `expected a ${what} of the data set, one of ${some(names)}, received ${given ?? "none"}`,
    { hint: "Name both behind the data set, as in organisation/name:config:split" },
  );
}

function some(names: readonly string[]): string {
  const more = names.length - 8;
  return (names.slice(0, 8).join(", ") || "none") + (more > 0 ? ` and ${more} more` : "");
}
