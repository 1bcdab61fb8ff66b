/** Opens a model, its draft and the loop that writes, ready to answer requests. */
import { basename } from "node:path";
import { Scheduler } from "../decode/scheduler.ts";
import type { Sampling } from "../decode/sampling.ts";
import { ConfigError, NotFoundError } from "../errors.ts";
import { readJson } from "../files.ts";
import { resolveModel } from "../hub.ts";
import type { Runtime } from "../runtime.ts";
import { openSpeculator } from "../speculator.ts";
import { loadTextModel } from "../text/model.ts";
import { type LoadProgress, openVerifier } from "../verifier.ts";
import type { ServeEngine } from "./engine.ts";

/** What is opened. */
export interface OpenEngineOptions {
  /** Folder of the verifier, or its name on the hub. */
  readonly verifierNameOrPath: string;
  /** Folder of a speculator, or its name on the hub. */
  readonly speculator?: string;
  /** The name that clients ask for; the hub's name or the folder's when absent. */
  readonly servedModelName?: string;
  /** Tokens proposed a round; the speculator's own number when absent. */
  readonly numSpecTokens?: number;
  /** Most texts written at once; 8 when absent. */
  readonly maxSequences?: number;
  /** Most texts that wait; 256 when absent. */
  readonly maxQueue?: number;
  /** Most tokens of prompt and answer together; what the model takes when absent. */
  readonly maxTokens?: number;
  /** Storage of keys and values; f32 when absent. */
  readonly kvDtype?: "f32" | "bf16";
  /** Milliseconds after which a draft that has not proposed is given up; none when absent. */
  readonly pluginTimeout?: number;
  /** Told of the weights that are loaded. */
  readonly onProgress?: (progress: LoadProgress) => void;
}

/** An engine that is open; disposing of it frees the models. Its scheduler must be closed before. */
export interface OpenEngine extends Disposable {
  /** The engine. */
  readonly engine: ServeEngine;
  /** Why the draft may do badly, as far as can be told. */
  readonly doubt: string | null;
}

/**
 * Opens all that answers requests.
 *
 * @throws {NotFoundError} when a model is not there
 * @throws {ConfigError} when the speculator does not fit the verifier, or an option cannot be used
 */
export async function openEngine(options: OpenEngineOptions, runtime: Runtime): Promise<OpenEngine> {
  const { verifierNameOrPath, maxTokens, maxSequences, maxQueue, kvDtype, pluginTimeout, onProgress } =
    options;
  using stack = new DisposableStack();
  using verifier = await openVerifier(verifierNameOrPath, runtime);
  const { vocabSize, maxPositions, eosTokenIds } = verifier.info;
  if (maxTokens !== undefined && maxTokens > maxPositions) {
    throw new ConfigError("maxTokens", `expected at most the model's ${maxPositions}, received ${maxTokens}`);
  }
  const text = await loadTextModel(verifier.folder), sampling = await usualSampling(verifier.folder);
  const backend = stack.use(await runtime.openBackend()), { signal } = runtime;
  const model = stack.use(
    await verifier.load(backend, { ...(signal ? { signal } : {}), ...(onProgress ? { onProgress } : {}) }),
  );
  const speculator = options.speculator === undefined
    ? null
    : stack.use(await openSpeculator(options.speculator, { registry: runtime.registry, verifier, model }));
  const numSpecTokens = options.numSpecTokens ?? speculator?.numSpecTokens ?? 0;
  const scheduler = new Scheduler(model, {
    ops: runtime.ops,
    numSpecTokens,
    ...(speculator ? { draft: speculator.draft } : {}),
    ...(maxSequences === undefined ? {} : { maxSequences }),
    ...(maxQueue === undefined ? {} : { maxQueue }),
    ...(kvDtype === undefined ? {} : { kvDtype }),
    ...(pluginTimeout === undefined ? {} : { pluginTimeout }),
  });
  const held = stack.move();
  return {
    doubt: speculator?.doubt ?? null,
    engine: {
      model: options.servedModelName ?? await usualName(verifierNameOrPath),
      text,
      scheduler,
      maxTokens: maxTokens ?? maxPositions,
      vocabSize,
      eosTokenIds: [...new Set([...eosTokenIds, ...text.eosIds])],
      sampling,
      numSpecTokens: speculator ? numSpecTokens : 0,
      created: Math.floor(Date.now() / 1000),
    },
    [Symbol.dispose]: () => held.dispose(),
  };
}

/** A model of the hub has its name there; a folder, whose path is nobody's business, its last part. */
async function usualName(nameOrPath: string): Promise<string> {
  return await resolveModel(nameOrPath) === nameOrPath ? basename(nameOrPath) : nameOrPath;
}

/** How its makers draw tokens, from `generation_config.json`; the protocol's temperature of 1 where that says nothing. */
async function usualSampling(folder: string): Promise<Sampling> {
  let config: Record<string, unknown>;
  try {
    config = await readJson(`${folder}/generation_config.json`) as Record<string, unknown>;
  } catch (error) {
    if (error instanceof NotFoundError) return { temperature: 1 };
    throw error;
  }
  const { temperature, top_p, top_k } = config ?? {};
  const number = (value: unknown, min: number, max: number): value is number =>
    typeof value === "number" && value >= min && value <= max;
  return {
    temperature: number(temperature, 0, 100) ? temperature : 1,
    ...(number(top_p, Number.MIN_VALUE, 1) ? { topP: top_p } : {}),
    ...(number(top_k, 0, 1e9) ? { topK: top_k } : {}),
  };
}
