/**
 * The registry of plugins: an immutable table of names and of thunks that import. Listing it loads nothing; a plugin's
 * module is imported when it is asked for, and checked.
 *
 * @module
 */
import { NotFoundError, PluginError } from "./errors.ts";
import { nearest } from "./nearest.ts";
import type { Plugin, PluginKind, PluginOf } from "./plugin.ts";
import { checkPlugin, PLUGIN_KINDS } from "./plugin_check.ts";
import { importDefault, type ImportOptions } from "./plugin_import.ts";

/** A line of a registry: what is known of a plugin without loading it, and how it is loaded. */
export interface PluginEntry<K extends PluginKind = PluginKind> {
  /** Its kind. */
  readonly kind: K;
  /** Its name, unique in its kind. */
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  /** Imports the module whose default export is the plugin. */
  readonly load: () => Promise<{ readonly default: unknown }>;
  /** Path or URL it was imported from; absent for those that come with the project. */
  readonly source?: string;
}

/** Plugins by kind and name. Never changes: what adds a plugin gives a new registry. */
export interface Registry {
  /** The lines, all or those of a kind. Loads nothing. */
  list(): readonly PluginEntry[];
  /** Those of a kind. */
  list<K extends PluginKind>(kind: K): readonly PluginEntry<K>[];
  /**
   * Loads a plugin.
   *
   * @throws {NotFoundError} when no plugin has that kind and name; lists the known ones
   * @throws {PluginError} when it cannot be imported or is not what its line says
   */
  get<K extends PluginKind>(kind: K, name: string): Promise<PluginOf<K>>;
  /**
   * The first plugin of a kind that the predicate takes, loading one after the other; `undefined` when there is none.
   *
   * @throws {PluginError} when one on the way cannot be loaded, or makes the predicate throw
   */
  find<K extends PluginKind>(
    kind: K,
    predicate: (plugin: PluginOf<K>) => boolean,
  ): Promise<PluginOf<K> | undefined>;
  /**
   * A registry with one line more.
   *
   * @throws {PluginError} when the kind has a plugin of that name
   */
  with(entry: PluginEntry): Registry;
  /**
   * A registry with the plugins of a module: its default export is one, or a list of them.
   *
   * @param specifier `./path`, `/path`, `file:`, `https:`, `http:` or `npm:`
   * @throws {PluginError} when it cannot be imported, is no plugin, or has a name that is taken
   */
  import(specifier: string, options?: ImportOptions): Promise<Registry>;
}

/**
 * Makes a registry.
 *
 * @throws {PluginError} when two entries have the same kind and name
 */
export function createRegistry(entries: Iterable<PluginEntry> = []): Registry {
  let registry = new Table([]);
  for (const entry of entries) registry = registry.with(entry);
  return registry;
}

class Table implements Registry {
  readonly #entries: readonly PluginEntry[];

  constructor(entries: readonly PluginEntry[]) {
    this.#entries = Object.freeze(entries);
  }

  list<K extends PluginKind>(kind?: K): readonly PluginEntry<K>[] {
    const wanted = kind === undefined ? this.#entries : this.#entries.filter((entry) => entry.kind === kind);
    return wanted as readonly PluginEntry<K>[];
  }

  async get<K extends PluginKind>(kind: K, name: string): Promise<PluginOf<K>> {
    const entry = this.list(kind).find((entry) => entry.name === name);
    if (entry === undefined) throw this.#unknown(kind, name);
    return await loadEntry(entry);
  }

  async find<K extends PluginKind>(
    kind: K,
    predicate: (plugin: PluginOf<K>) => boolean,
  ): Promise<PluginOf<K> | undefined> {
    for (const entry of this.list(kind)) {
      const plugin = await loadEntry(entry);
      if (takes(plugin, predicate, entry)) return plugin;
    }
    return undefined;
  }

  with(entry: PluginEntry): Table {
    const taken = this.#entries.find((known) => known.kind === entry.kind && known.name === entry.name);
    if (taken !== undefined) {
      throw new PluginError(
        entry.source ?? entry.name,
        `expected a name that no other ${entry.kind} plugin has, received "${entry.name}", which ${
          taken.source === undefined ? "is known already" : `came from "${taken.source}"`
        }`,
        { hint: "Give one of the two another name, or import it once only" },
      );
    }
    return new Table([...this.#entries, Object.freeze({ ...entry })]);
  }

  async import(specifier: string, options: ImportOptions = {}): Promise<Registry> {
    const { url, value } = await importDefault(specifier, options);
    const values: unknown[] = Array.isArray(value) ? value : [value];
    if (values.length === 0) throw new PluginError(specifier, "expected a plugin, received an empty list");
    return values.reduce<Table>((registry, value) => {
      const { kind, name, summary } = checkPlugin(value, specifier);
      return registry.with({
        kind,
        name,
        summary,
        source: url,
        load: () => Promise.resolve({ default: value }),
      });
    }, this);
  }

  #unknown(kind: PluginKind, name: string): NotFoundError {
    const names = this.list(kind).map((entry) => entry.name);
    const known = names.length === 0 ? `no ${kind} plugin is known` : `known are ${names.join(", ")}`;
    const near = nearest(name, names);
    const elsewhere = PLUGIN_KINDS.find((other) => this.list(other).some((entry) => entry.name === name));
    let hint = "A path or a URL brings in a plugin of your own";
    if (near !== undefined) hint = `Did you mean "${near}"?`;
    else if (elsewhere !== undefined) {
      hint = `There is a plugin of that name, but it is ${article(elsewhere)} ${elsewhere} plugin`;
    }
    return new NotFoundError(name, `expected the name of ${article(kind)} ${kind} plugin, ${known}`, {
      hint,
    });
  }
}

async function loadEntry<K extends PluginKind>(entry: PluginEntry<K>): Promise<PluginOf<K>> {
  const source = entry.source ?? entry.name;
  let module: { readonly default: unknown };
  try {
    module = await entry.load();
  } catch (cause) {
    throw new PluginError(source, `expected its module to load, received ${message(cause)}`, { cause });
  }
  const plugin: Plugin = checkPlugin(module.default, source);
  if (plugin.kind !== entry.kind || plugin.name !== entry.name) {
    throw new PluginError(
      source,
      `expected the ${entry.kind} plugin "${entry.name}", received the ${plugin.kind} plugin "${plugin.name}"`,
    );
  }
  return plugin as PluginOf<K>;
}

function takes<K extends PluginKind>(
  plugin: PluginOf<K>,
  predicate: (plugin: PluginOf<K>) => boolean,
  entry: PluginEntry<K>,
): boolean {
  try {
    return predicate(plugin);
  } catch (cause) {
    throw new PluginError(entry.source ?? entry.name, `expected an answer, received ${message(cause)}`, {
      cause,
    });
  }
}

function message(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function article(kind: PluginKind): string {
  return kind === "engine" ? "an" : "a";
}
