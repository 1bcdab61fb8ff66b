/** Converting checkpoints between the layouts in which drafts are published and the speculators format. */
import { dirname, join } from "node:path";
import { readConfigJson, writeConfigJson, writeSpeculatorConfig } from "../config/speculator.ts";
import { FORMAT_VERSIONS } from "../config/create.ts";
import type {
  ConvertNote,
  ConvertPlan,
  ConvertRequest,
  ConvertSource,
  DraftConverter,
  FillName,
  WeightDType,
} from "../conversion.ts";
import { AbortedError, ConfigError } from "../errors.ts";
import type { Stage } from "../events.ts";
import { writeJsonAtomic } from "../files.ts";
import type { FileSpec, TensorSource } from "../formats/source.ts";
import { findWeights, isGguf, openWeights, soleGguf } from "../formats/weights.ts";
import { isHubModel, resolveModel } from "../hub.ts";
import type { SpeculatorConfig } from "../plugin.ts";
import type { Runtime } from "../runtime.ts";
import { byteLength } from "../tensor.ts";
import { openVerifier } from "../verifier.ts";
import { checkOptions, foreignWriter, inwardConverter } from "./_converters.ts";
import { beginOutput, writeShards } from "./_convert_output.ts";
import { type StreamInputs, streamTensor } from "./_convert_stream.ts";
import { validate, type ValidateResult } from "./validate.ts";

/** Largest file of weights unless told otherwise. */
const MAX_SHARD_SIZE = 5_000_000_000;

/** What is converted, and how. */
export interface ConvertOptions {
  /** A folder, a file of weights in one, or a hub id; `id@revision` names a revision. */
  readonly model: string;
  /** Draft plugin that the checkpoint becomes one of; found by the config when converting to a foreign layout. */
  readonly algorithm?: string;
  /** The model that the draft was made for; needed unless converting to a foreign layout. */
  readonly verifier?: string;
  /** Folder that is written. */
  readonly outputPath: string;
  /** Revision of a hub model. */
  readonly revision?: string;
  /** The algorithm's own options, as the Python system names them. */
  readonly algorithmKwargs?: Readonly<Record<string, unknown>>;
  /** Do exactly what the Python system does. */
  readonly strictUpstream?: boolean;
  /** Weights to take from the verifier where the checkpoint lacks them. */
  readonly fillFromVerifier?: readonly FillName[];
  /** Type to write floats in; their own when absent. */
  readonly dtype?: WeightDType;
  /** Most bytes of tensors in a file; 5 GB. */
  readonly maxShardSize?: number;
  /** Replace a folder that exists. */
  readonly overwrite?: boolean;
  /** Foreign layout to write, e.g. `eagle3-research`; the speculators format when absent. */
  readonly to?: string;
  /** Validate the result before it takes its place. */
  readonly validate?: boolean;
}

/** What was converted. */
export interface ConvertResult {
  /** The folder. */
  readonly outputPath: string;
  /** Layout that was read or written besides the speculators format. */
  readonly converter: string;
  /** Files in the folder. */
  readonly files: readonly string[];
  /** Tensors written. */
  readonly tensors: number;
  /** Bytes of the tensors written. */
  readonly bytes: number;
  /** Tensors of the checkpoint that were left out. */
  readonly unexpected: readonly string[];
  /** What was kept, made up or lost. */
  readonly notes: readonly ConvertNote[];
  /** What validation found; `null` when it was not asked for. */
  readonly validation: ValidateResult | null;
}

/**
 * Converts a checkpoint, tensor by tensor: memory does not grow with its size. The folder appears when it is complete.
 *
 * @throws {NotFoundError} when the checkpoint, its config or the verifier is not there
 * @throws {FormatError} when a file is damaged, a weight is missing or of another shape, or a number is none
 * @throws {ConfigError} when an option or a field of a config cannot be used, or the verifier does not fit
 * @throws {WriteError} when the folder exists or cannot be written; what was there stays
 */
export async function* convert(options: ConvertOptions, runtime: Runtime): Stage<ConvertResult> {
  const signal = runtime.signal ? { signal: runtime.signal } : {};
  for (const name of [options.model, options.verifier]) {
    if (name === undefined || !await isHubModel(name)) continue;
    yield { type: "note", stage: "convert", level: "info", text: `Taking ${name} from the hub or its cache` };
  }
  refuseTogether(options);
  const place = await locate(options, signal);
  const config = await readConfigJson(place.folder);
  if (options.to === undefined) refuseConverted(config, place.folder);
  const converter = options.to === undefined
    ? await inwardConverter(runtime.registry, options.algorithm)
    : await foreignWriter(runtime.registry, { to: options.to, config, where: place.folder });
  const kwargs = checkOptions(converter, options.algorithmKwargs ?? {});
  const verifier = options.verifier === undefined ? null : {
    nameOrPath: options.verifier,
    config: await verifierConfig(await resolveModel(options.verifier, { files: "config", ...signal })),
  };
  using source = await openWeights(place.weights, runtime);
  const request: ConvertRequest = {
    source: describe(source, { config, where: place.folder, weights: place.weights }),
    verifier,
    options: kwargs,
    strictUpstream: options.strictUpstream ?? false,
    dtype: options.dtype ?? null,
    fill: options.fillFromVerifier ?? [],
  };
  const plan = converter.plan(request);
  await plan.check?.({ source });
  for (const { level, text } of plan.notes) yield { type: "note", stage: "convert", level, text };
  using filled = await openFilled(plan, { options, runtime });
  const inputs: StreamInputs = {
    source,
    where: place.weights,
    verifier: filled,
    infinities: request.strictUpstream,
  };
  await using output = await beginOutput(options.outputPath, {
    overwrite: options.overwrite ?? false,
    keep: [place.folder, ...options.verifier === undefined ? [] : [options.verifier]],
  });
  const files = yield* write(plan, { converter, folder: output.path, inputs, options, runtime });
  const validation = options.validate ? yield* validateOutput(output.path, { options, runtime }) : null;
  await output.publish();
  return {
    outputPath: options.outputPath,
    converter: converter.name,
    files,
    tensors: plan.tensors.length,
    bytes: plan.tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0),
    unexpected: plan.unexpected,
    notes: plan.notes,
    validation,
  };
}

/** What the Python system does leaves no choice. */
function refuseTogether({ strictUpstream, dtype, fillFromVerifier }: ConvertOptions): void {
  if (!strictUpstream || (dtype === undefined && !fillFromVerifier?.length)) return;
  const option = dtype === undefined ? "fill-from-verifier" : "dtype";
  throw new ConfigError(option, "expected no such choice together with strict-upstream, received one", {
    hint: "Leave one of the two options away",
  });
}

function refuseConverted(config: Readonly<Record<string, unknown>>, where: string): void {
  if (!("speculators_model_type" in config)) return;
  throw new ConfigError(`${where}/config.json`, "expected a published checkpoint, received a speculator", {
    hint: "It can be used as it is; another layout is written with --to",
  });
}

/** Folder with `config.json`, and the weights: in the folder, or the very file that was named. */
async function locate(
  options: ConvertOptions,
  signal: { readonly signal?: AbortSignal },
): Promise<{ folder: string; weights: string }> {
  const { model, revision } = options;
  const isFile = await Deno.stat(model).then((info) => info.isFile, () => false);
  if (isFile) return { folder: dirname(model), weights: model };
  const folder = await resolveModel(model, {
    files: "weights",
    ...signal,
    ...(revision === undefined ? {} : { revision }),
  });
  return { folder, weights: await findWeights(folder) };
}

/**
 * What a converter sees of a checkpoint. The Python system reads safetensors in the order of their names, others in the
 * order of the file; where two tensors become one, that decides.
 */
function describe(
  source: TensorSource,
  place: { readonly config: ConvertSource["config"]; readonly where: string; readonly weights: string },
): ConvertSource {
  const byName = /\.safetensors(\.index\.json)?$/.test(place.weights);
  const names = byName ? [...source.names()].sort() : source.names();
  const tensors = new Map<string, FileSpec>(names.map((name) => [name, source.spec(name)]));
  return { where: place.where, config: place.config, tensors };
}

async function verifierConfig(path: string): Promise<Record<string, unknown>> {
  const gguf = await soleGguf(path);
  if (gguf !== null) return await (await import("../formats/gguf_weights.ts")).readGgufConfig(gguf);
  return await readConfigJson(isGguf(path) ? dirname(path) : path);
}

/** The verifier's weights, where the plan takes some. */
async function openFilled(
  plan: ConvertPlan,
  { options, runtime }: { readonly options: ConvertOptions; readonly runtime: Runtime },
): Promise<(NonNullable<StreamInputs["verifier"]> & Disposable) | null> {
  if (!plan.tensors.some(({ content }) => content.kind === "verifier")) return null;
  if (options.verifier === undefined) {
    throw new ConfigError("fill-from-verifier", "expected a verifier to take weights from, received none", {
      hint: "Name it with --verifier",
    });
  }
  using verifier = await openVerifier(options.verifier, runtime);
  const source = await openWeights(verifier.path, runtime);
  return {
    source,
    names: verifier.architecture.roles(verifier.info),
    where: verifier.path,
    [Symbol.dispose]: () => source[Symbol.dispose](),
  };
}

async function* write(
  plan: ConvertPlan,
  work: {
    readonly converter: DraftConverter;
    readonly folder: string;
    readonly inputs: StreamInputs;
    readonly options: ConvertOptions;
    readonly runtime: Runtime;
  },
): Stage<string[]> {
  const { converter, folder, inputs, options, runtime } = work;
  if (converter.direction === "in") {
    await writeSpeculatorConfig(folder, plan.config as SpeculatorConfig);
    await writeJsonAtomic(join(folder, "generation_config.json"), {
      _from_model_config: true,
      transformers_version: FORMAT_VERSIONS.transformers_version,
    });
  } else await writeConfigJson(folder, plan.config);
  const total = plan.tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0);
  const progress = new Progress(total);
  let stopped = false;
  const written = writeShards(folder, plan.tensors, {
    maxShardSize: options.maxShardSize ?? MAX_SHARD_SIZE,
    async *chunks(tensor) {
      for await (const chunk of streamTensor(tensor, inputs)) {
        if (stopped || runtime.signal?.aborted) throw new AbortedError();
        yield chunk;
        progress.add(chunk.length);
      }
    },
  });
  let files: string[];
  try {
    yield* progress.until(written);
    files = await written;
  } finally {
    // Whoever reads the events may stop: nothing must be written once the folder is gone.
    stopped = true;
    await written.catch(() => {});
  }
  return ["config.json", ...(converter.direction === "in" ? ["generation_config.json"] : []), ...files];
}

async function* validateOutput(
  folder: string,
  { options, runtime }: { readonly options: ConvertOptions; readonly runtime: Runtime },
): Stage<ValidateResult> {
  const result = yield* validate({
    path: folder,
    ...(options.verifier === undefined ? {} : { verifier: options.verifier, verifierOptional: true }),
  }, runtime);
  if (result.problems.length === 0) return result;
  throw new ConfigError(
    options.outputPath,
    `expected a speculator that runs, received ${result.problems.length} problems: ${
      result.problems.slice(0, 3).join("; ")
    }`,
    { hint: "Convert without validation to look at the result, then run validate on it" },
  );
}

/** Turns counted bytes into events while a promise is pending. */
class Progress {
  readonly #total: number;
  #done = 0;
  #wake: () => void = () => {};

  constructor(total: number) {
    this.#total = total;
  }

  add(bytes: number): void {
    this.#done += bytes;
    this.#wake();
  }

  async *until(work: Promise<unknown>): Stage<void> {
    let pending = true;
    const settled = work.then(() => {}, () => {}).finally(() => {
      pending = false;
      this.#wake();
    });
    for (let told = -1; pending;) {
      await Promise.race([new Promise<void>((resolve) => this.#wake = resolve), settled]);
      const megabytes = (bytes: number) => Math.round(bytes / 1e6);
      const done = megabytes(this.#done), total = megabytes(this.#total);
      if (total > 0 && done !== told) yield { type: "progress", stage: "convert", done, total, unit: "MB" };
      told = done;
    }
  }
}
