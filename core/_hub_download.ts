/** Fetching a file of the hub into the cache: `blobs/<hash>`, and a link to it in the snapshot. A broken download goes on. */
import { createHash } from "node:crypto";
import { dirname, join, relative } from "node:path";
import { AbortedError, FormatError, NotFoundError, SpeculatorsError, WriteError } from "./errors.ts";
import { openFile } from "./files.ts";
import type { HubSettings } from "./_hub_settings.ts";

/** What is fetched, from where, to where. */
export interface HubRequest {
  /** Whether it is a model or a data set; a model when absent. */
  readonly kind?: "models" | "datasets";
  /** `organisation/name`. */
  readonly id: string;
  /** Branch, tag or commit. */
  readonly revision: string;
  /** Where the hub and the cache are. */
  readonly settings: HubSettings;
  /** Folder of the repository in the cache. */
  readonly repository: string;
  /** Stops a download. */
  readonly signal?: AbortSignal;
  /** Called while a file comes in. */
  readonly onProgress?: (file: string, done: number, total: number) => void;
}

const MAX_REDIRECTS = 5, MAX_TRIES = 5;

/** What the hub says of a file. */
interface FileHead {
  /** Where its content is. */
  readonly url: string;
  /** Its hash, which names it in the cache. */
  readonly etag: string;
  /** Its bytes; `null` where the hub does not say. */
  readonly size: number | null;
}

/**
 * Sends a request; the token goes to the hub alone, never to where it redirects.
 *
 * @throws {NotFoundError} when the hub has no such thing, or does not show it
 * @throws {SpeculatorsError} `E_HUB` when it fails
 */
export async function requestHub(work: HubRequest, url: string, init: RequestInit = {}): Promise<Response> {
  const { settings, id, revision, signal } = work;
  const headers = new Headers(init.headers);
  if (settings.token !== null && new URL(url).origin === new URL(settings.endpoint).origin) {
    headers.set("authorization", `Bearer ${settings.token}`);
  }
  const response = await fetch(url, { redirect: "manual", ...init, headers, ...(signal ? { signal } : {}) });
  if (response.ok || (response.status >= 300 && response.status < 400) || response.status === 416) {
    return response;
  }
  await response.body?.cancel();
  if (response.status === 401 || response.status === 403 || response.status === 404) {
    throw new NotFoundError(
      `${id}@${revision}`,
      `expected a local ${
        work.kind === "datasets" ? "file or folder or a data set" : "folder or a model"
      } of ` +
        `${settings.endpoint}, received status ${response.status}`,
      {
        hint: response.status === 404
          ? "Check name and revision; what is local must exist under just this name"
          : `A private or gated ${
            work.kind === "datasets" ? "data set" : "model"
          } needs HF_TOKEN, the token of ` +
            "an account that may read it",
      },
    );
  }
  throw new SpeculatorsError(
    "E_HUB",
    `Cannot fetch "${url}": expected a file, received status ${response.status}`,
    {
      hint: "Try again later",
    },
  );
}

/** Brings a file of a commit into the cache, unless it is there. */
export async function fetchFile(
  work: HubRequest,
  file: { readonly sha: string; readonly name: string; readonly snapshot: string },
): Promise<void> {
  const pointer = join(file.snapshot, file.name);
  if (await Deno.stat(pointer).then(() => true, () => false)) return;
  const head = await headOf(work, file), blob = join(work.repository, "blobs", head.etag);
  try {
    await Deno.mkdir(dirname(blob), { recursive: true });
    await Deno.mkdir(dirname(pointer), { recursive: true });
    if (!await Deno.stat(blob).then(() => true, () => false)) {
      await download(work, { ...head, blob, name: file.name });
    }
    await Deno.remove(pointer).catch(() => {});
    await link(blob, pointer);
  } catch (cause) {
    if (work.signal?.aborted) throw new AbortedError();
    if (cause instanceof SpeculatorsError || cause instanceof TypeError) throw cause;
    throw new WriteError(pointer, cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

async function headOf(work: HubRequest, file: { sha: string; name: string }): Promise<FileHead> {
  const { settings: { endpoint }, id } = work, folder = work.kind === "datasets" ? "datasets/" : "";
  const name = file.name.split("/").map(encodeURIComponent).join("/");
  let url = `${endpoint}/${folder}${id}/resolve/${file.sha}/${name}`;
  for (let hop = 0; hop < MAX_REDIRECTS; hop++) {
    const response = await requestHub(work, url, {
      method: "HEAD",
      headers: { "accept-encoding": "identity" },
    });
    const location = response.headers.get("location");
    const etag = response.headers.get("x-linked-etag") ?? response.headers.get("etag");
    const size = response.headers.get("x-linked-size") ?? response.headers.get("content-length");
    // A renamed repository redirects within the hub; a large file to where it is stored, with its hash said here.
    if (location !== null && response.headers.get("x-linked-etag") === null) {
      url = new URL(location, url).href;
      continue;
    }
    const hash = etag?.replace(/^W\//, "").replaceAll('"', "") ?? "";
    if (!/^[\w-]{1,128}$/.test(hash)) {
      throw new FormatError(
        url,
        `expected the hash of the file in its headers, received ${JSON.stringify(etag)}`,
      );
    }
    return { url, etag: hash, size: size !== null && /^\d{1,15}$/.test(size) ? Number(size) : null };
  }
  throw new FormatError(url, `expected at most ${MAX_REDIRECTS} redirects, received more`);
}

async function download(work: HubRequest, file: FileHead & { blob: string; name: string }): Promise<void> {
  const partial = `${file.blob}.incomplete`;
  using handle = await Deno.open(partial, { write: true, create: true });
  await handle.lock(true);
  // Another process may have finished while this one waited.
  if (await Deno.stat(file.blob).then(() => true, () => false)) return;
  let failure: unknown;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const before = (await handle.stat()).size;
    try {
      await receive(work, file, { handle, start: before });
      failure = undefined;
      break;
    } catch (error) {
      if (work.signal?.aborted || error instanceof NotFoundError) throw error;
      failure = error;
      if ((await handle.stat()).size > before) tries = 0; // it comes on: only standing still is counted
    }
  }
  if (failure !== undefined) throw failure;
  await verify(partial, file);
  await handle.sync();
  await Deno.rename(partial, file.blob);
}

/** One connection's worth of a file. */
async function receive(
  work: HubRequest,
  file: FileHead & { name: string },
  to: { readonly handle: Deno.FsFile; readonly start: number },
): Promise<void> {
  const { handle } = to;
  let { start } = to;
  if (file.size !== null && start === file.size) return;
  if (file.size !== null && start > file.size) start = 0;
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (start > 0) headers.range = `bytes=${start}-`;
  const response = await follow(work, file.url, headers);
  const resumed = response.status === 206 &&
    response.headers.get("content-range")?.startsWith(`bytes ${start}-`);
  if (!resumed) start = 0;
  if (response.status === 416 || (response.status === 206 && !resumed)) {
    await response.body?.cancel();
    await handle.truncate(0);
    throw new SpeculatorsError(
      "E_HUB",
      `Cannot fetch "${file.name}": expected its rest, received another part`,
    );
  }
  await handle.truncate(start);
  await handle.seek(start, Deno.SeekMode.Start);
  let done = start;
  for await (const chunk of response.body ?? []) {
    for (let at = 0; at < chunk.length;) at += await handle.write(chunk.subarray(at));
    done += chunk.length;
    work.onProgress?.(file.name, done, file.size ?? done);
  }
  if (file.size !== null && done !== file.size) {
    throw new SpeculatorsError(
      "E_HUB",
      `Cannot fetch "${file.name}": expected ${file.size} bytes, received ${done}`,
      {
        hint: "The connection broke: the same command goes on from there",
      },
    );
  }
}

async function follow(work: HubRequest, url: string, headers: Record<string, string>): Promise<Response> {
  for (let hop = 0; hop < MAX_REDIRECTS; hop++) {
    const response = await requestHub(work, url, { headers }), location = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || location === null) return response;
    await response.body?.cancel();
    url = new URL(location, url).href;
  }
  throw new FormatError(url, `expected at most ${MAX_REDIRECTS} redirects, received more`);
}

/** Compares a file with its hash: SHA-256 for large files, git's own for others; other hashes are not known. */
async function verify(path: string, file: FileHead & { name: string }): Promise<void> {
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(file.etag)) return;
  using content = await openFile(path);
  const hash = createHash(file.etag.length === 64 ? "sha256" : "sha1");
  if (file.etag.length === 40) hash.update(`blob ${content.size}\0`);
  const step = 4 * 1024 * 1024;
  for (let at = 0; at < content.size; at += step) {
    hash.update(await content.read(at, Math.min(step, content.size - at)));
  }
  const found = hash.digest("hex");
  if (found === file.etag) return;
  await Deno.remove(path);
  throw new FormatError(file.name, `expected the hash ${file.etag}, received ${found}`, {
    hint: "It was damaged on the way: try again",
  });
}

/** A relative link, as in other programs' caches; a copy where links are not allowed. */
async function link(blob: string, pointer: string): Promise<void> {
  try {
    await Deno.symlink(relative(dirname(pointer), blob), pointer, { type: "file" });
  } catch {
    await Deno.copyFile(blob, pointer);
  }
}
