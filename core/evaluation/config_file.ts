/**
 * Files of settings for an evaluation: lines of `KEY=VALUE` as upstream's `configs/*.env`, YAML or JSON. Nothing in them is
 * executed.
 *
 * @module
 */
import { parseYaml } from "../_yaml.ts";
import { ConfigError, FormatError } from "../errors.ts";
import { readText } from "../files.ts";
import { nearest } from "../nearest.ts";
import { camelCase } from "../stages/pipeline_settings.ts";

/** Settings by the names of their flags in camel case, values as they would stand behind a flag. */
export type FileSettings = Readonly<Record<string, string | boolean | readonly string[]>>;

/** Largest file that is read. */
const MAX_BYTES = 1024 * 1024;

/** Names that upstream and others have for a setting. */
function nameOf(key: string): string {
  const name = camelCase(/^[A-Z0-9_]+$/.test(key) ? key.toLowerCase() : key);
  const other: Readonly<Record<string, string>> = {
    baseModel: "base",
    speculatorModel: "speculator",
    datasets: "dataset",
    data: "dataset",
    target: "endpoint",
  };
  return other[name] ?? name;
}

/**
 * Reads a file of settings: `.yaml`, `.yml` and `.json` by their names, all others as lines of `KEY=VALUE`.
 *
 * @throws {NotFoundError} when it is not there
 * @throws {FormatError} when it cannot be read
 * @param names settings that there are
 * @throws {ConfigError} when a name is not known, or a value is no plain one, or would have to be executed
 */
export async function readEvaluationFile(path: string, names: readonly string[]): Promise<FileSettings> {
  const text = await readText(path, { maxBytes: MAX_BYTES });
  const found = /\.(ya?ml|json)$/i.test(path) ? fromYaml(text, path) : fromLines(text, path);
  const unknown = Object.keys(found).find((name) => !names.includes(name));
  if (unknown === undefined) return found;
  const near = nearest(unknown, names);
  throw new ConfigError(path, `expected names of flags, received "${unknown}"`, {
    hint: near ? `Did you mean ${near}?` : "Leave it out, or look for its name in --help",
  });
}

function fromYaml(text: string, path: string): FileSettings {
  let value: unknown;
  try {
    value = parseYaml(text, { maxAliasCount: 100 });
  } catch (cause) {
    const received = (cause as Error).message.split("\n")[0];
    throw new FormatError(path, `expected YAML or JSON, received ${received}`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormatError(path, `expected names and values, received ${JSON.stringify(value)}`);
  }
  const found: Record<string, string | boolean | string[]> = {};
  for (const [key, given] of Object.entries(value)) {
    if (given === null || given === undefined) continue;
    found[nameOf(key)] = Array.isArray(given)
      ? given.map((one) => plain(one, { path, key }))
      : typeof given === "boolean"
      ? given
      : plain(given, { path, key });
  }
  return found;
}

function plain(value: unknown, { path, key }: { readonly path: string; readonly key: string }): string {
  if (typeof value === "string" || (typeof value === "number" && Number.isFinite(value))) {
    return String(value);
  }
  throw new ConfigError(
    `${path}: ${key}`,
    `expected a text, a number or a list of them, received ${JSON.stringify(value)}`,
  );
}

function fromLines(text: string, path: string): FileSettings {
  const found: Record<string, string> = {};
  for (const [i, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const [, key, rest] = /^(?:export\s+)?([A-Za-z_]\w*)=(.*)$/.exec(line) ?? [];
    if (key === undefined) {
      throw new FormatError(path, `expected KEY=VALUE on line ${i + 1}, received "${line.slice(0, 80)}"`, {
        hint: "Begin remarks with #",
      });
    }
    const value = valueOf(rest!, { path, key });
    if (value !== "") found[nameOf(key)] = value;
  }
  return found;
}

/** A value as a shell would read it, as far as that is text: quotes, a remark behind it, and the time. */
function valueOf(text: string, { path, key }: { readonly path: string; readonly key: string }): string {
  const [, double, single, bare] = /^(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s"'#]*))\s*(?:#.*)?$/.exec(text) ??
    [];
  if (single !== undefined) return single;
  const written = double?.replace(/\\(["\\$`])/g, "$1") ?? bare;
  if (written === undefined) {
    throw new FormatError(path, `expected one value of ${key}, received ${text.slice(0, 80)}`, {
      hint: "Put a value with blanks in quotes",
    });
  }
  // Upstream's own files name their output so.
  const dated = written.replace(/\$\(date \+([\w%.:-]+)\)/g, (_, format: string) => stamp(format));
  if (!/\$[({\w]|`/.test(dated)) return dated;
  throw new ConfigError(`${path}: ${key}`, `expected a plain value, received ${text.slice(0, 80)}`, {
    hint: "Nothing in the file is executed: write the value itself",
  });
}

/** The time as `date +format` writes it. */
function stamp(format: string): string {
  const now = new Date(), two = (n: number) => String(n).padStart(2, "0");
  const parts: Readonly<Record<string, string>> = {
    Y: String(now.getFullYear()),
    m: two(now.getMonth() + 1),
    d: two(now.getDate()),
    H: two(now.getHours()),
    M: two(now.getMinutes()),
    S: two(now.getSeconds()),
    s: String(Math.floor(now.getTime() / 1000)),
  };
  return format.replace(/%(.)/g, (all, letter: string) => parts[letter] ?? all);
}
