/** Runs the verifier over sequences and writes samples: while one batch is computed, the one before is written. */
import { type DataConfig, writeDataConfig } from "../data/data_config.ts";
import type { SampleFileOptions } from "../data/store.ts";
import { openSampleWriter, type SampleWriter } from "../data/write_samples.ts";
import { ConfigError, PluginError, SpeculatorsError } from "../errors.ts";
import type { Engine, EnginePlugin, ImagePatches } from "../plugin.ts";
import type { Runtime } from "../runtime.ts";
import type { Backend, HostTensor } from "../tensor.ts";
import type { OpenedVerifier } from "../verifier.ts";

/** Bytes of samples that may be on their way to the disk besides one batch. */
const MAX_WRITING = 64 * 1024 * 1024;

/** A sequence that waits for its states. */
export interface Pending {
  /** Number of the sample. */
  readonly index: number;
  /** Its tokens. */
  readonly ids: Int32Array;
  /** 1 where one is trained on. */
  readonly lossMask: Uint8Array;
  /** Its images, in the order of their tokens. */
  readonly images?: readonly ImagePatches[];
  /** Whether its file is there: then it is worked along with the others of its batch, but not written. */
  readonly known: boolean;
}

/** What capturing works with. */
export interface CaptureParts {
  /** For the backend. */
  readonly runtime: Runtime;
  /** The verifier, loaded when there is something to capture. */
  readonly verifier: OpenedVerifier;
  /** Where states come from. */
  readonly plugin: EnginePlugin;
  /** Address of its server. */
  readonly endpoint?: string;
  /** Where samples go, and in which form. */
  readonly files: SampleFileOptions;
  /** States that the verifier hands out, serving convention; those of `config` are kept. */
  readonly layers: readonly number[];
  /** Element type of their states. */
  readonly dtype: "bf16" | "f16" | "f32";
  /** What is recorded of them. */
  readonly config: DataConfig;
}

/** The engine that a run asks for. */
export async function captureEngine(name: string, { registry }: Runtime): Promise<EnginePlugin> {
  const plugin = await registry.get("engine", name);
  if (plugin.capabilities.capture) return plugin;
  throw new ConfigError("engine", `expected one that captures hidden states, received "${plugin.name}"`);
}

/** A pipeline of batches. */
export class Capture implements AsyncDisposable {
  readonly #parts: CaptureParts;
  readonly #writer: SampleWriter;
  #engine: Engine | null = null;
  #backend: Backend | null = null;
  #running: Promise<void> = Promise.resolve();
  /** Batches being written, the oldest first. */
  readonly #writes: Set<{ readonly done: Promise<unknown>; readonly bytes: number }> = new Set();
  #began = 0;
  #computing = 0;

  /** Opens nothing yet. */
  constructor(parts: CaptureParts) {
    this.#parts = parts;
    this.#writer = openSampleWriter({ ...parts.files, dtype: parts.dtype });
  }

  /** Tokens a second, found by working some samples twice: kernels are made ready for the first time. */
  async rate(samples: readonly Int32Array[]): Promise<number> {
    this.#engine ??= await this.#open();
    const engine = this.#engine, tokens = samples.reduce((sum, { length }) => sum + length, 0);
    let start = 0;
    for (let time = 0; time < 2; time++) {
      start = performance.now();
      await this.#states(engine, samples.map((ids) => ({ ids })));
      this.#computing += performance.now() - start;
    }
    return tokens / ((performance.now() - start) / 1000);
  }

  /** Seconds since the verifier was loaded, and those of them that it computed. */
  get seconds(): { readonly total: number; readonly verifier: number } {
    const total = this.#began === 0 ? 0 : (performance.now() - this.#began) / 1000;
    return { total, verifier: this.#computing / 1000 };
  }

  /** What computed, for people; `null` when that is no GPU of this machine. */
  get gpu(): string | null {
    return this.#backend?.name === "webgpu" ? this.#backend.description : null;
  }

  /** Takes a batch on, once the one before is computed. */
  async add(samples: readonly Pending[]): Promise<void> {
    await this.#running;
    this.#running = this.#work(samples);
    this.#running.catch(() => {}); // reported when it is awaited
  }

  /** Waits until everything is on disk. */
  async finish(): Promise<void> {
    await this.#running;
    await Promise.all([...this.#writes].map(({ done }) => done));
  }

  async #work(samples: readonly Pending[]): Promise<void> {
    this.#engine ??= await this.#open();
    const start = performance.now();
    const states = await this.#states(this.#engine, samples);
    this.#computing += performance.now() - start;
    const { config, layers } = this.#parts, kept = config.layers.map((id) => layers.indexOf(id));
    const made = samples.flatMap(({ ids, index, known, lossMask }, i) => {
      if (known) return [];
      return [{ index, sample: { inputIds: ids, lossMask, hidden: kept.map((at) => states[i]![at]!) } }];
    });
    const bytes = made.reduce(
      (sum, { sample }) => sum + sample.hidden.reduce((n, one) => n + one.bytes.length, 0),
      0,
    );
    // A few batches may be on their way to the disk: it answers late, and where the CPU computes, seldom gets a turn.
    while (
      this.#writes.size > 0 && [...this.#writes].reduce((sum, one) => sum + one.bytes, bytes) > MAX_WRITING
    ) {
      await [...this.#writes][0]!.done;
    }
    const write = { done: made.length === 0 ? Promise.resolve() : this.#writer.write(made), bytes };
    this.#writes.add(write);
    // A failure stays, and is reported when it is awaited.
    write.done.then(() => this.#writes.delete(write), () => {});
  }

  async #open(): Promise<Engine> {
    const { config, endpoint, files, plugin, runtime, verifier } = this.#parts;
    const engine = await plugin.open({
      info: verifier.info,
      loadVerifier: async () => {
        this.#backend = await runtime.openBackend();
        return await verifier.load(this.#backend, runtime.signal ? { signal: runtime.signal } : {});
      },
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(runtime.signal ? { signal: runtime.signal } : {}),
    });
    this.#engine = engine;
    // Says what the samples are, so it is there before the first of them, and not without one.
    await writeDataConfig(files.folder, config);
    this.#began = performance.now();
    return engine;
  }

  async #states(
    engine: Engine,
    samples: readonly Pick<Pending, "ids" | "images">[],
  ): Promise<HostTensor[][]> {
    const { layers, plugin } = this.#parts;
    try {
      const ids = samples.map(({ ids }) => ids);
      if (samples.every(({ images }) => !images)) return await engine.capture(ids, layers);
      return await engine.capture(ids, layers, { images: samples.map(({ images = [] }) => images) });
    } catch (cause) {
      if (cause instanceof SpeculatorsError) throw cause;
      throw new PluginError(plugin.name, "it failed while capturing hidden states", { cause });
    }
  }

  /** Waits for files being written: none is left half-written when the program ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.catch(() => {});
    await Promise.allSettled([...this.#writes].map(({ done }) => done));
    this.#writer[Symbol.dispose]();
    this.#engine?.[Symbol.dispose]();
    this.#backend?.[Symbol.dispose]();
  }
}
