/**
 * Plugins that come from an address are pinned: their files' hashes are kept in a lock file, and a file that is another one
 * than it was is refused before any of its code runs.
 *
 * A plugin's files are the one that was named and what they import by a written-out address, `import()` included, as text
 * (WGSL) too. They are read through Deno's own module cache, so that what was hashed is what is run. What code fetches or
 * puts together an address for is not seen: pinning guards against a host that hands out other files than before, not
 * against a plugin's author.
 *
 * @module
 */
import { NotFoundError, PluginError, SpeculatorsError } from "./errors.ts";
import { readJson, writeJsonAtomic } from "./files.ts";

/** Where plugins are pinned. */
export interface PluginLock {
  /** The lock file. */
  readonly path: string;
  /** Refuse what it does not know; a plugin that is new is added otherwise. */
  readonly frozen?: boolean;
  /** Told what was added, and why something could not be. */
  readonly onNote?: (message: string) => void;
}

/** Hashes by address; `absent` where nothing was to be had. */
type Files = Readonly<Record<string, string>>;

interface LockFile {
  readonly version: 1;
  readonly plugins: Readonly<Record<string, Files>>;
}

const MAX_FILES = 4096, MAX_BYTES = 64 * 2 ** 20, MAX_LOCK_BYTES = 16 * 2 ** 20;

/** Text that is no program, and imports nothing. */
const ASSET = /\.(?:wgsl|json|txt|md|css|html|svg)$/i;

/** Types only: erased before a program runs, and not loaded. `import type from "x"` is no such thing. */
const TYPES = /\b(?:import|export)\s+type\s(?!\s*from\s*["'])[^;"']*?\bfrom\s*(["'])[^"'\n]*\1/g;

const IMPORT = /\b(?:from|import)\s*\(?\s*(?:\/\*[^]*?\*\/\s*)*(["'`])([^"'`\n]+)\1/g;

/**
 * Compares a plugin's files with the lock file, or adds them to it.
 *
 * @param url address of its module; one that is not `http:` or `https:` is not pinned
 * @throws {PluginError} when a file is another one, the plugin is unknown and the lock is frozen, or its address leads on to
 * another
 * @throws {FormatError} when the lock file is damaged
 */
export async function checkPins(url: string, lock: PluginLock): Promise<void> {
  if (!/^https?:/i.test(url)) return;
  await refuseRedirect(url);
  const found = await filesOf(url), { version, plugins } = await readLock(lock.path);
  const pinned = Object.hasOwn(plugins, url) ? plugins[url]! : null;
  if (pinned === null) {
    if (lock.frozen) {
      throw new PluginError(url, `expected a plugin that ${lock.path} knows, received another one`, {
        hint: "Look at its code, then run once without --frozen to pin it",
      });
    }
    return await add({ version, plugins: { ...plugins, [url]: found } }, { lock, url, found });
  }
  const names = [...new Set([...Object.keys(pinned), ...Object.keys(found)])].sort();
  const changed = names.filter((name) => pinned[name] !== found[name]);
  if (changed.length === 0) return;
  const more = changed.length > 1 ? ` and ${changed.length - 1} more` : "";
  throw new PluginError(
    url,
    `expected the files pinned in ${lock.path}, received another ${changed[0]}${more}`,
    {
      hint: `If the change is meant, look at it, then remove the plugin from ${lock.path} to pin it anew`,
    },
  );
}

/**
 * What a module imports is found from where it really is, which the cache does not tell: asked of the host itself where that is
 * permitted, and not otherwise, since pinning must not need more permissions than the plugin.
 */
async function refuseRedirect(url: string): Promise<void> {
  const { host } = new URL(url);
  if ((await Deno.permissions.query({ name: "net", host })).state !== "granted") return;
  let response: Response;
  try {
    response = await fetch(url, { method: "HEAD", redirect: "manual" });
  } catch {
    return; // not to be reached now: what the cache has is what is run
  }
  const to = response.status >= 300 && response.status < 400 ? response.headers.get("location") : null;
  await response.body?.cancel();
  if (to === null) return;
  throw new PluginError(url, `expected the address that it has, received one that leads on to ${to}`, {
    hint: "Give that address: files are pinned by where they are",
  });
}

async function add(
  content: LockFile,
  { lock, url, found }: { readonly lock: PluginLock; readonly url: string; readonly found: Files },
): Promise<void> {
  try {
    await writeJsonAtomic(lock.path, content);
  } catch (cause) {
    const denied = [cause, cause instanceof Error ? cause.cause : null]
      .some((error) => error instanceof Deno.errors.NotCapable);
    if (!denied) throw cause;
    // Whoever gives few permissions is not to be made to give more.
    lock.onNote?.(`${url} is not pinned: no permission to write ${lock.path}`);
    return;
  }
  const count = Object.keys(found).length;
  lock.onNote?.(`Pinned ${url} (${count} ${count === 1 ? "file" : "files"}) in ${lock.path}`);
}

async function readLock(path: string): Promise<LockFile> {
  let value: unknown;
  try {
    value = await readJson(path, { maxBytes: MAX_LOCK_BYTES });
  } catch (error) {
    if (error instanceof NotFoundError) return { version: 1, plugins: {} };
    throw error;
  }
  const { version, plugins } = (value ?? {}) as Partial<LockFile>;
  const texts = (files: unknown) =>
    isRecord(files) && Object.values(files).every((hash) => typeof hash === "string");
  if (version !== 1 || !isRecord(plugins) || !Object.values(plugins).every(texts)) {
    throw new PluginError(
      path,
      "expected a lock file of version 1 with plugins and their files, received another",
      {
        hint: "Take it from version control, or remove it to pin every plugin anew",
      },
    );
  }
  return { version, plugins };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Hashes of a module and of all that it imports from any host. */
async function filesOf(entry: string): Promise<Files> {
  const found: Record<string, string> = {}, seen = new Set([entry]);
  let bytes = 0;
  await prime(entry);
  for (let wave = [entry]; wave.length > 0;) {
    const next: string[] = [];
    // One after another would take a round trip to the host each.
    const texts = await Promise.all(wave.map((url) => contentOf(url, url === entry)));
    for (const [i, url] of wave.entries()) {
      const content = texts[i]!;
      found[url] = content === null ? "absent" : await sha256(content);
      bytes += content?.length ?? 0;
      if (typeof content !== "string" || ASSET.test(new URL(url).pathname)) continue;
      for (const specifier of importsOf(content, url)) {
        if (!seen.has(specifier) && !isProgram(specifier, entry)) next.push(specifier);
        seen.add(specifier);
      }
    }
    if (seen.size > MAX_FILES || bytes > MAX_BYTES) {
      throw new PluginError(
        entry,
        `expected at most ${MAX_FILES} files of ${MAX_BYTES} bytes, received more`,
      );
    }
    wave = next;
  }
  return found;
}

/**
 * Brings a module and all that it imports into Deno's cache, running none of it: with `--reload` they come from their host
 * here, and then no more. A program is read whole before any of it runs, and this one has a part that is none.
 */
async function prime(entry: string): Promise<void> {
  const program = `import ${JSON.stringify(entry)}; import "data:text/javascript,%7B";`;
  try {
    await import(`data:text/javascript,${encodeURIComponent(program)}`);
  } catch {
    // As meant. What is wrong with the module itself is told when it is imported.
  }
}

/** A file's content: text, or bytes where it is a program of WASM; `null` where there is none. */
async function contentOf(url: string, required: boolean): Promise<string | Uint8Array | null> {
  try {
    if (!/\.wasm$/i.test(new URL(url).pathname)) {
      return (await import(url, { with: { type: "text" } })).default;
    }
    const response = await fetch(url);
    if (response.ok) return await response.bytes();
    await response.body?.cancel();
    return null;
  } catch (error) {
    // What only looks like an import, as in a comment, need not be there; a permission must not be lacking unnoticed.
    const message = error instanceof Error ? error.message : "";
    if (required || error instanceof SpeculatorsError || !/not found/i.test(message)) throw error;
    return null;
  }
}

async function sha256(content: string | Uint8Array): Promise<string> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : new Uint8Array(content);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** Addresses on a host that a module imports. */
function importsOf(source: string, url: string): string[] {
  const specifiers = [...source.replaceAll(TYPES, "").matchAll(IMPORT)].map((match) => match[2]!);
  return specifiers.flatMap((specifier) => {
    if (!/^(?:\.{0,2}\/|https?:)/i.test(specifier)) return [];
    const { href, protocol } = new URL(specifier, url);
    return /^https?:$/.test(protocol) ? [href] : [];
  });
}

/** Whether a module is the running program's own, and not the plugin's. */
function isProgram(url: string, entry: string): boolean {
  const root = new URL("..", import.meta.url).href;
  return url.startsWith(root) && !url.startsWith(new URL(".", entry).href);
}
