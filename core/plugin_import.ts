/**
 * Imports a third party's module by path or address.
 *
 * @module
 */
import { isAbsolute, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { PluginError, SpeculatorsError } from "./errors.ts";
import { checkPins, type PluginLock } from "./plugin_pins.ts";

/** How a specifier is read. */
export interface ImportOptions {
  /** Folder, or `file:` URL of a folder, that a relative path starts from; the working directory when absent. */
  readonly base?: string | URL;
  /** Where modules from an address are pinned; nowhere when absent. */
  readonly lock?: PluginLock;
}

/**
 * The default export of a module and the address it came from.
 *
 * @param specifier `./path`, `../path`, `/path`, `file:`, `https:`, `http:` or `npm:`
 * @throws {PluginError} when the specifier is none of those, the module cannot be imported, has no default export, or is
 * not what it was when it was pinned
 */
export async function importDefault(
  specifier: string,
  options: ImportOptions = {},
): Promise<{ readonly url: string; readonly value: unknown }> {
  const url = address(specifier, options.base);
  let module: { readonly default?: unknown };
  try {
    if (options.lock) await checkPins(url, options.lock);
    module = await import(url);
  } catch (cause) {
    if (cause instanceof SpeculatorsError) throw cause;
    const hint = importHint(cause, url);
    throw new PluginError(specifier, `expected its module to load, received ${message(cause)}`, {
      cause,
      ...(hint === undefined ? {} : { hint }),
    });
  }
  if (!("default" in module)) {
    const names = Object.keys(module);
    throw new PluginError(
      specifier,
      `expected a default export, received ${names.length === 0 ? "no export" : `only ${names.join(", ")}`}`,
    );
  }
  return { url, value: module.default };
}

function address(specifier: string, base: string | URL | undefined): string {
  if (/^(?:https?|file|npm):/i.test(specifier)) return specifier;
  if (isAbsolute(specifier)) return pathToFileURL(specifier).href;
  if (/^\.\.?[/\\]/.test(specifier)) return pathToFileURL(resolve(folder(base), specifier)).href;
  throw new PluginError(specifier, "expected a path or an address, received a bare name", {
    hint: `Write "./${specifier.replace(/^[a-z]+:/i, "")}" for a file, or begin with https:, file: or npm:`,
  });
}

function folder(base: string | URL | undefined): string {
  if (base === undefined) return Deno.cwd();
  const text = String(base);
  return text.startsWith("file:") ? fileURLToPath(text) : text;
}

function importHint(cause: unknown, url: string): string | undefined {
  if (cause instanceof Error && /allow-import/.test(cause.message)) {
    const host = URL.parse(url)?.host;
    return `Allow it with --allow-import${host ? `=${host}` : ""}`;
  }
  if (cause instanceof Deno.errors.NotCapable) return "Give the permission that the message names";
  return undefined;
}

function message(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  // A failed request comes with everything on its way, the reason last.
  const lines = cause.message.trimEnd().split("\n");
  const line = /^Import '.*' failed\.$/.test(lines[0]!)
    ? lines.at(-1)!.trim().replace(/^\d+: /, "")
    : lines[0]!;
  return line.replace(/\.$/, "");
}
