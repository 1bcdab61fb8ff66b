/**
 * Models by name: a local folder, or a repository of the Hugging Face hub and its revision, kept in the cache folder that
 * other programs share (`HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE` mean what they do there).
 *
 * The client is our own: `npm:@huggingface/hub` (2.7) begins a broken download anew, knows no offline mode, and takes each
 * file from the commit that last changed it, so that a snapshot is in several folders.
 *
 * @module
 */
import { join } from "node:path";
import { NotFoundError } from "./errors.ts";
import { readText, writeFileAtomic } from "./files.ts";
import { fetchFile, type HubRequest } from "./_hub_download.ts";
import { hubListing, isUnreachable } from "./_hub_listing.ts";
import { type HubSettings, hubSettings } from "./_hub_settings.ts";

/** Which files of a model are wanted: `config.json` alone, with the weights, or with the tokenizer too. */
export type ModelFiles = "config" | "weights" | "model";

/** How a model is found. */
export interface ResolveOptions {
  /** Branch, tag or commit of a hub model; `main` when absent. */
  readonly revision?: string;
  /** Which files are fetched; all that a model needs when absent. */
  readonly files?: ModelFiles;
  /** Environment variables; the process's own, as far as they may be read, when absent. */
  readonly env?: (name: string) => string | undefined;
  /** Stops a download; it goes on from there the next time. */
  readonly signal?: AbortSignal;
  /** Called while a file comes in. */
  readonly onProgress?: (file: string, done: number, total: number) => void;
}

/** `organisation/name`, and `@revision` behind it. Shorter names are not taken: they look like folders. */
const HUB_ID = /^([A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95})(?:@([\w.-][\w./-]{0,199}))?$/;

/** Whether a name can only be a model of the hub: nothing local is called that. */
export async function isHubModel(nameOrPath: string): Promise<boolean> {
  return HUB_ID.test(nameOrPath) && !await Deno.lstat(nameOrPath).then(() => true, () => false);
}

/**
 * The local folder of a model. What is not on this machine is fetched from the hub; a name that cannot be one of the
 * hub's comes back as it is.
 *
 * @param nameOrPath a folder, or `organisation/name`, with `@revision` behind it unless given as an option
 * @throws {NotFoundError} when the hub has no such model, or cannot be asked and the cache does not have it
 * @throws {FormatError} when a file comes in damaged
 */
export async function resolveModel(nameOrPath: string, options: ResolveOptions = {}): Promise<string> {
  if (!await isHubModel(nameOrPath)) return nameOrPath;
  const [, id, written] = HUB_ID.exec(nameOrPath)! as unknown as [string, string, string | undefined];
  const revision = options.revision ?? written ?? "main";
  if (!/^[\w.-][\w./-]{0,199}$/.test(revision) || revision.split("/").includes("..")) {
    throw new NotFoundError(nameOrPath, `expected a branch, tag or commit, received "${revision}"`, {
      hint: "Take a revision that the model has on the hub",
    });
  }
  const settings = hubSettings(options.env);
  const repository = join(settings.cache, `models--${id.replace("/", "--")}`);
  const work: HubRequest = { id, revision, settings, repository, ...options };
  if (settings.offline) return await cached(work);
  try {
    return await fetchModel(work, options.files ?? "model");
  } catch (cause) {
    if (!isUnreachable(cause)) throw cause;
    return await cached(work, cause);
  }
}

async function fetchModel(work: HubRequest, files: ModelFiles): Promise<string> {
  const { sha, names } = await hubListing(work), snapshot = join(work.repository, "snapshots", sha);
  for (const name of choose(names, files)) await fetchFile(work, { sha, name, snapshot });
  // Named last: a revision that is in the cache has its files.
  await writeFileAtomic(join(work.repository, "refs", work.revision), sha);
  await Deno.mkdir(snapshot, { recursive: true });
  return snapshot;
}

/** The files of a model at its top that are wanted: the same weights that a folder is read for. */
function choose(names: readonly string[], files: ModelFiles): string[] {
  const top = names.filter((name) => /^[\w][\w.-]*$/.test(name)), has = (name: string) => top.includes(name);
  const weights = has("model.safetensors")
    ? ["model.safetensors"]
    : has("model.safetensors.index.json")
    ? top.filter((name) => /\.safetensors$/.test(name) || name === "model.safetensors.index.json")
    : has("pytorch_model.bin")
    ? ["pytorch_model.bin"]
    : top.filter((name) => /^pytorch_model.*\.bin(\.index\.json)?$/.test(name));
  const wanted = (name: string) =>
    name === "config.json" || (files !== "config" && weights.includes(name)) ||
    (files === "model" && /\.(json|jinja|txt|model|tiktoken)$/.test(name) && !/\.index\.json$/.test(name));
  return top.filter(wanted);
}

/** The snapshot of a revision in the cache. */
async function cached(work: HubRequest, cause?: unknown): Promise<string> {
  const { id, revision, repository, settings } = work;
  const isCommit = /^[0-9a-f]{40}$/.test(revision);
  const sha = isCommit
    ? revision
    : (await readText(join(repository, "refs", revision), { maxBytes: 1024 }).catch(() => "")).trim();
  const snapshot = join(repository, "snapshots", sha);
  if (/^[0-9a-f]{40}$/.test(sha) && await Deno.stat(snapshot).then(() => true, () => false)) return snapshot;
  const why = settings.offline ? "offline mode is on" : `${settings.endpoint} could not be reached`;
  throw new NotFoundError(
    `${id}@${revision}`,
    `expected a local folder or a model in the cache ${settings.cache}, received none, and ${why}`,
    {
      ...(cause === undefined ? {} : { cause }),
      hint: settings.offline
        ? "Check the name, or unset HF_HUB_OFFLINE to ask the hub"
        : "Check the name and the network, or give a local folder",
    },
  );
}

export type { HubSettings };
