/**
 * Opening a verifier: its config, the plugin that reads it, its weights. Nothing is loaded onto a backend before every
 * tensor of the checkpoint is known to have its name and shape.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { AbortedError, ConfigError, FormatError, NotFoundError } from "./errors.ts";
import { readJson } from "./files.ts";
import { requireFolder } from "./folders.ts";
import type { TensorSource } from "./formats/source.ts";
import type { Dequantise } from "./formats/gguf.ts";
import { isGguf, openWeights, soleGguf } from "./formats/weights.ts";
import { resolveModel } from "./hub.ts";
import { nearest } from "./nearest.ts";
import type {
  TensorInfo,
  VerifierArchitecture,
  VerifierInfo,
  VerifierModel,
  VerifierPlugin,
  VerifierWeights,
} from "./plugin.ts";
import type { Registry } from "./registry.ts";
import { breathe } from "./turn.ts";
import {
  type Backend,
  type BlockDType,
  BYTES,
  elements,
  type FileDType,
  type Shape,
  type StoredTensor,
  type Tensor,
} from "./tensor.ts";

/** Largest `config.json` that is read. */
const MAX_CONFIG_BYTES = 16 * 1024 * 1024;

/** Bytes of a tensor that may be read ahead. */
const MAX_AHEAD = 64 * 1024 * 1024;

/** Names listed in a message before it says how many more there are. */
const MAX_NAMED = 5;

const FLOATS: readonly FileDType[] = ["f64", "f32", "bf16", "f16"];

type Config = Readonly<Record<string, unknown>>;

/** What {@linkcode openVerifier} is given besides the name. */
export interface OpenVerifierOptions {
  /** Where the verifier plugins are. */
  readonly registry: Pick<Registry, "find" | "list">;
  /** Widens the quantised weights of a GGUF file. */
  readonly dequantise?: Dequantise;
}

/** How far loading is, in bytes of weights. */
export interface LoadProgress {
  /** Bytes loaded. */
  readonly done: number;
  /** Bytes in all. */
  readonly total: number;
}

/** How weights are loaded. */
export interface LoadOptions {
  /** Called after each tensor. */
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Stops between two tensors. */
  readonly signal?: AbortSignal;
}

/** A verifier that was opened but not loaded. Dispose it to close its files; a loaded model does not need it. */
export interface OpenedVerifier extends Disposable {
  /** What it is. */
  readonly info: VerifierInfo;
  /** The plugin that reads it. */
  readonly plugin: VerifierPlugin;
  /** The plugin's code. */
  readonly architecture: VerifierArchitecture;
  /** Folder with its files. */
  readonly folder: string;
  /** Where its weights are: the folder, or the GGUF file that was named. */
  readonly path: string;
  /** The weights that a draft may share, read when asked for. */
  readonly weights: VerifierWeights;
  /**
   * Bytes of all weights and of the largest, as {@linkcode OpenedVerifier.load} would put them on a device.
   *
   * @throws {FormatError} as that
   */
  size(): { readonly weights: number; readonly largest: number };
  /**
   * Loads all weights in the dtype they are stored in, one tensor at a time.
   *
   * @throws {FormatError} when a tensor is missing, is not the architecture's, or has another shape
   * @throws {AbortedError} when the signal is given
   */
  load(backend: Backend, options?: LoadOptions): Promise<VerifierModel>;
}

/**
 * Opens the verifier in a folder, in a GGUF file, or on the hub. Without `config.json`, a GGUF file's metadata is read.
 *
 * @throws {NotFoundError} when the folder or a file in it is not there
 * @throws {ConfigError} when no plugin reads its architecture, or a field of its config cannot be used
 * @throws {FormatError} when a file is damaged
 */
export async function openVerifier(
  nameOrPath: string,
  options: OpenVerifierOptions,
): Promise<OpenedVerifier> {
  const path = await resolveModel(nameOrPath), folder = isGguf(path) ? dirname(path) : path;
  await requireFolder(folder, {
    what: "a model",
    hint: "Give a local folder with config.json and weights, or organisation/name of a model on the hub",
  });
  const gguf = await soleGguf(path);
  const config = gguf === null
    ? await readConfig(join(folder, "config.json"))
    : await (await import("./formats/gguf_weights.ts")).readGgufConfig(gguf);
  const plugin = await options.registry.find("verifier", (plugin) => plugin.matches(config));
  if (!plugin) throw await unknownArchitecture(nameOrPath, config, options.registry);
  const architecture = await plugin.load();
  const info = await withGenerationConfig(architecture.info(config, nameOrPath), folder);
  const source = await openWeights(path, options);
  return new Opened({ info, plugin, architecture, folder, path }, source);
}

async function readConfig(path: string): Promise<Config> {
  const value = await readJson(path, { maxBytes: MAX_CONFIG_BYTES });
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormatError(path, "expected an object, received something else");
  }
  return value as Config;
}

async function unknownArchitecture(
  nameOrPath: string,
  config: Config,
  registry: Pick<Registry, "find" | "list">,
): Promise<ConfigError> {
  const known = new Set<string>();
  await registry.find("verifier", (plugin) => {
    for (const name of plugin.architectures) known.add(name);
    return false;
  });
  const received = JSON.stringify(config["architectures"] ?? null).slice(0, 200);
  const asked = Array.isArray(config["architectures"]) ? config["architectures"].map(String) : [];
  const near = asked.map((name) => nearest(name, known)).find((name) => name !== undefined);
  return new ConfigError(
    `${nameOrPath}/config.json: architectures`,
    `expected one of ${[...known].join(", ")}, received ${received}`,
    {
      hint: `${
        near === undefined ? "" : `The nearest one is ${near}. `
      }Take a verifier of a known architecture, or bring a verifier plugin for this one with --plugin`,
    },
  );
}

/** Chat models end a turn with tokens that only `generation_config.json` lists. */
async function withGenerationConfig(info: VerifierInfo, folder: string): Promise<VerifierInfo> {
  const path = join(folder, "generation_config.json");
  let config: Config;
  try {
    config = await readConfig(path);
  } catch (error) {
    if (error instanceof NotFoundError) return info;
    throw error;
  }
  const value = config["eos_token_id"] ?? [];
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  if (ids.length > 1024 || !ids.every((id) => Number.isInteger(id) && (id as number) >= 0)) {
    throw new ConfigError(`${path}: eos_token_id`, "expected a token id or a list of them, received others");
  }
  return { ...info, eosTokenIds: [...new Set([...info.eosTokenIds, ...ids as number[]])] };
}

class Opened implements OpenedVerifier {
  readonly info: VerifierInfo;
  readonly plugin: VerifierPlugin;
  readonly architecture: VerifierArchitecture;
  readonly folder: string;
  readonly path: string;
  readonly weights: VerifierWeights;
  readonly #source: TensorSource;

  constructor(
    what: Pick<OpenedVerifier, "info" | "plugin" | "architecture" | "folder" | "path">,
    source: TensorSource,
  ) {
    this.info = what.info;
    this.plugin = what.plugin;
    this.architecture = what.architecture;
    this.folder = what.folder;
    this.path = what.path;
    this.#source = source;
    const roles = this.architecture.roles(this.info);
    const listed = new Map(this.architecture.tensors(this.info).map((tensor) => [tensor.name, tensor]));
    const read = (name: string) => {
      const tensor = listed.get(name);
      if (tensor) this.#check([tensor]);
      return source.read(name);
    };
    this.weights = {
      embedTokens: () => read(roles.embed),
      lmHead: () => read(roles.head),
      norm: () => read(roles.norm),
    };
  }

  size(): { readonly weights: number; readonly largest: number } {
    const bytes = this.#present().map((tensor) => this.#bytes(tensor));
    return {
      weights: bytes.reduce((sum, n) => sum + n, 0),
      largest: bytes.reduce((most, n) => Math.max(most, n), 0),
    };
  }

  /** The tensors that are there, once all are known to be the architecture's. */
  #present(): readonly TensorInfo[] {
    const listed = this.architecture.tensors(this.info);
    this.#check(listed, true);
    return listed.filter((tensor) => this.#stored(tensor).some(({ name }) => this.#source.has(name)));
  }

  async load(backend: Backend, options: LoadOptions = {}): Promise<VerifierModel> {
    const present = this.#present(), total = this.size().weights;
    const tensors = new Map<string, Tensor>();
    // The next tensor is read while one is copied to the backend, unless it is so large that it should not wait in memory.
    const ahead = new Map<string, Promise<StoredTensor>>();
    const begin = (tensor: TensorInfo | undefined) => {
      if (!tensor || this.#bytes(tensor) > MAX_AHEAD) return;
      const read = this.#read(tensor);
      read.catch(() => {}); // seen when its turn comes
      ahead.set(tensor.name, read);
    };
    try {
      let done = 0;
      for (const [i, tensor] of present.entries()) {
        if (options.signal?.aborted) throw new AbortedError();
        const read = await (ahead.get(tensor.name) ?? this.#read(tensor));
        ahead.delete(tensor.name);
        begin(present[i + 1]);
        if (ahead.size > 0) await breathe(); // so that it begins before the copy keeps this thread
        tensors.set(tensor.name, backend.upload(read));
        done += this.#bytes(tensor);
        options.onProgress?.({ done, total });
      }
      return this.architecture.model(this.info, { backend, tensors });
    } catch (error) {
      await Promise.allSettled(ahead.values());
      for (const tensor of tensors.values()) tensor[Symbol.dispose]();
      throw error;
    }
  }

  /** What a checkpoint holds of a tensor: itself, or its parts. */
  #stored(tensor: TensorInfo): readonly TensorInfo[] {
    const { name, shape, parts, stored, ...rest } = tensor;
    if (stored) return [{ name, shape: stored, ...rest }];
    if (!parts || this.#source.has(name)) return [tensor];
    return parts.map((name) => ({ name, shape: shape.slice(1), ...rest }));
  }

  /** Blocks that a tensor is kept in; `null` where it is none, or no matrix. */
  #blocks({ name, shape }: TensorInfo): BlockDType | null {
    return shape.length === 2 && this.#source.has(name) ? this.#source.blocks?.(name) ?? null : null;
  }

  /** Bytes of a tensor as it is kept. */
  #bytes(tensor: TensorInfo): number {
    const { dtype } = this.#source.spec(this.#stored(tensor)[0]!.name);
    return elements(tensor.shape) * BYTES[this.#blocks(tensor) ?? dtype];
  }

  /** A tensor; one in parts is put together as they are read, so that no more than a part is there twice. */
  async #read(tensor: TensorInfo): Promise<StoredTensor> {
    if (this.#blocks(tensor) !== null) return await this.#source.readBlocks!(tensor.name);
    const stored = this.#stored(tensor), first = await this.#source.read(stored[0]!.name);
    if (stored[0]!.name === tensor.name) return { ...first, shape: tensor.shape };
    const { dtype } = first, bytes = new Uint8Array(first.bytes.length * stored.length);
    bytes.set(first.bytes);
    for (const [i, { name }] of stored.entries()) {
      if (i > 0) bytes.set((await this.#source.read(name)).bytes, i * first.bytes.length);
    }
    return { shape: tensor.shape, dtype, bytes };
  }

  /** Compares names and shapes with the file's; with `all`, nothing else may be in it. */
  #check(tensors: readonly TensorInfo[], all = false): void {
    const source = this.#source, problems: string[] = [];
    const listed = tensors.flatMap((tensor) => this.#stored(tensor));
    const missing = listed.filter(({ name, required }) => required !== false && !source.has(name));
    const present = listed.filter(({ name }) => source.has(name));
    const wrong = present.filter(({ name, shape }) => !sameShape(shape, source.spec(name).shape));
    const others = present.filter(({ name, dtype }) => {
      const found = source.spec(name).dtype;
      return dtype === undefined ? !FLOATS.includes(found) : dtype !== found;
    });
    const mixed = tensors.filter((tensor) => {
      const parts = this.#stored(tensor).filter(({ name }) => source.has(name));
      return new Set(parts.map(({ name }) => source.spec(name).dtype)).size > 1;
    });
    if (mixed.length > 0) {
      problems.push(`with ${names(mixed.map(({ name }) => `parts of "${name}"`))} of several types`);
    }
    if (missing.length > 0) problems.push(`without ${names(missing.map(({ name }) => `"${name}"`))}`);
    if (wrong.length > 0) {
      const text = ({ name, shape }: TensorInfo) =>
        `"${name}" as [${source.spec(name).shape.join(", ")}] for [${shape.join(", ")}]`;
      problems.push(`with ${names(wrong.map(text))}`);
    }
    if (others.length > 0) {
      problems.push(
        `with ${
          names(others.map(({ name, dtype = "floats" }) =>
            `"${name}" as ${source.spec(name).dtype} for ${dtype}`
          ))
        }`,
      );
    }
    if (all) {
      const known = new Set(listed.map(({ name }) => name));
      const extra = source.names().filter((name) => !known.has(name));
      if (extra.length > 0) {
        problems.push(`with ${names(extra.map((name) => `"${name}"`))}, unknown to its config`);
      }
    }
    if (problems.length === 0) return;
    const architecture = this.info.architectures.join(", ") || this.plugin.name;
    throw new FormatError(
      this.path,
      `expected the weights of ${architecture} as its config says, received them ${problems.join("; ")}`,
      { hint: "Check that config.json and the weights belong together and that no shard is missing" },
    );
  }

  [Symbol.dispose](): void {
    this.#source[Symbol.dispose]();
  }
}

function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((axis, i) => axis === b[i]);
}

function names(list: readonly string[]): string {
  const more = list.length - MAX_NAMED;
  return list.slice(0, MAX_NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
