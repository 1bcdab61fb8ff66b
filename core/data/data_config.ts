/**
 * `data_config.json`: what a folder of samples was made of.
 *
 * @module
 */
import { join } from "node:path";
import { FORMAT_VERSIONS } from "../config/create.ts";
import { formatPythonJson, parsePythonJson } from "../config/python_json.ts";
import { FormatError, NotFoundError } from "../errors.ts";
import { readText, writeFileAtomic } from "../files.ts";

/** Name of the file. */
export const DATA_CONFIG_FILE = "data_config.json";

/** The layout that is written, and what is read besides: any 1.x and 2.x. */
const VERSION = "2.0";

/** What is recorded of a folder of samples. */
export interface DataConfig {
  /** The verifier, as the user named it. */
  readonly targetModelPath: string;
  /** Its weights' fingerprint, where one was taken. */
  readonly weights?: string;
  /** Width of its residual stream. */
  readonly hiddenSize: number;
  /** Ids of the states kept, serving convention: id i enters layer i, id n leaves the last layer. */
  readonly layers: readonly number[];
  /** Whether the file counted what leaves a layer; then `layers` is one higher than what it says. */
  readonly countedLeaving?: boolean;
  /** Most tokens of a sample. */
  readonly seqLength: number;
  /** Seed of the order. */
  readonly seed: number;
  /** Most samples asked for; `null` for all. */
  readonly maxSamples: number | null;
  /** Data sets, as the user named them. */
  readonly trainDataPath: readonly string[];
  /** Samples in the folder. */
  readonly numSamples?: number;
  /** Element type of the states, by torch's name; `bfloat16` unless given. */
  readonly dtype?: string;
  /** Ending of the sample files; `pt` unless given. */
  readonly ending?: string;
  /** How sample files are packed, where they are. */
  readonly compress?: string;
  /** The command line. */
  readonly command?: string;
  /** Versions of what it was made with. */
  readonly packageVersions?: Readonly<Record<string, string>>;
  /** The device it was made on; `CPU ONLY` unless given. */
  readonly gpu?: string;
  /** Devices a layer was spread over; 1 unless given. */
  readonly tensorParallelSize?: number;
  /** Share of the device's memory a server took; 0.8 unless given. */
  readonly gpuMemoryUtilization?: number;
  /** Cache of processed data sets; `null` unless given. */
  readonly cacheDir?: string | null;
  /** Upstream's mistakes in choosing trained tokens were kept. */
  readonly strictUpstream?: boolean;
  /** A random number of turns was kept of each conversation. */
  readonly turnDropout?: boolean;
  /** Regular expression that found the assistant's part, where one was given. */
  readonly assistantPattern?: string;
  /** Which part of a run this is, as `2/4`, where it is one. */
  readonly shard?: string;
  /** When it was made; now, unless given. */
  readonly generatedAt?: Date;
  /** Version of the system that made it. */
  readonly speculatorsVersion?: string;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Text of the file, in upstream's layout 2.0. Upstream's own ids count what *leaves* a layer and the file does not say
 * so; ours count what enters one, and an added field says that.
 *
 * source: speculators v0.4.0.1, `scripts/data_generation_offline.py`
 */
export function formatDataConfig(config: DataConfig): string {
  const { hiddenSize, layers } = config;
  const value = {
    version: VERSION,
    generated_at: (config.generatedAt ?? new Date()).toISOString().replace(/Z$/, "000+00:00"),
    speculators_version: config.speculatorsVersion ?? FORMAT_VERSIONS.speculators_version,
    reproducibility: {
      command: config.command ?? "datagen",
      package_versions: config.packageVersions ?? {},
      gpu: config.gpu ?? "CPU ONLY",
    },
    model: {
      target_model_path: config.targetModelPath,
      tensor_parallel_size: config.tensorParallelSize ?? 1,
      gpu_memory_utilization: config.gpuMemoryUtilization ?? 0.8,
      hidden_size: hiddenSize,
      // Not among upstream's fields, as some below: written only where they say something.
      ...(config.weights === undefined ? {} : { weights_fingerprint: config.weights }),
    },
    data: {
      train_data_path: config.trainDataPath.length === 1 ? config.trainDataPath[0] : config.trainDataPath,
      seq_length: config.seqLength,
      max_samples: config.maxSamples,
      num_samples: config.numSamples ?? null,
      seed: config.seed,
      chat_template_note: "Uses tokenizer's built-in chat template",
      ...(config.strictUpstream ? { strict_upstream: true } : {}),
      ...(config.turnDropout ? { turn_dropout: true } : {}),
      ...(config.assistantPattern === undefined ? {} : { assistant_pattern: config.assistantPattern }),
      ...(config.shard === undefined ? {} : { shard: config.shard }),
    },
    hidden_states: {
      layer_ids: layers,
      layer_id_convention: "enters_layer",
      description: "Layers selected for EAGLE3 fusion and target logits",
    },
    generation: { cache_dir: config.cacheDir ?? null },
    format: {
      file_pattern: `data_{idx}.${config.ending ?? "pt"}`,
      ...(config.compress === undefined ? {} : { compression: config.compress }),
      schema: {
        input_ids: { dtype: "torch.long", shape: "[seq_len]", description: "Tokenized input sequence" },
        hidden_states: {
          dtype: `list[torch.${config.dtype ?? "bfloat16"}]`,
          shape: `list of [seq_len, ${hiddenSize}]`,
          num_tensors: layers.length,
          description: `Hidden states from ${layers.length} layers`,
        },
        loss_mask: {
          dtype: "torch.long",
          shape: "[seq_len]",
          description: "1 for assistant tokens to train on, 0 elsewhere",
        },
      },
    },
  };
  return formatPythonJson(value, {
    sortKeys: false,
    floatFields: new Set(["gpu_memory_utilization"]),
  });
}

/** Writes the file in one step. */
export async function writeDataConfig(folder: string, config: DataConfig): Promise<void> {
  await writeFileAtomic(join(folder, DATA_CONFIG_FILE), formatDataConfig(config));
}

/**
 * Reads a folder's file; `null` when there is none.
 *
 * Ids of a file made by upstream's 2.0 count what leaves a layer; they come back counted + 1, in the order the states
 * lie in the samples: ascending, each once, whatever order was asked for.
 *
 * @throws {FormatError} when it is of another layout
 */
export async function readDataConfig(folder: string): Promise<DataConfig | null> {
  const path = join(folder, DATA_CONFIG_FILE);
  let text: string;
  try {
    text = await readText(path);
  } catch (cause) {
    if (cause instanceof NotFoundError) return null;
    throw cause;
  }
  let value: unknown;
  try {
    value = parsePythonJson(text);
  } catch (cause) {
    throw new FormatError(path, `expected JSON, received ${(cause as Error).message}`, { cause });
  }
  return configOf(value, path);
}

function configOf(value: unknown, path: string): DataConfig {
  const version = field(value, ["version"], path, "string");
  if (!/^[12]\./.test(version)) {
    throw new FormatError(path, `expected version ${VERSION}, received "${version}"`);
  }
  const states = field(value, ["hidden_states"], path, "object") as Json;
  const ids = states.layer_ids;
  if (!Array.isArray(ids) || !ids.every((id) => Number.isInteger(id) && id >= 0)) {
    throw new FormatError(path, 'expected "hidden_states.layer_ids" to be a list of ids');
  }
  const ours = states.layer_id_convention === "enters_layer";
  const data = field(value, ["data"], path, "object") as Json;
  const paths = data.train_data_path;
  const format = at(value, ["format", "schema", "hidden_states", "dtype"]);
  const dtype = typeof format === "string" ? /^list\[torch\.(\w+)\]$/.exec(format)?.[1] : undefined;
  const pattern = at(value, ["format", "file_pattern"]), gpu = at(value, ["reproducibility", "gpu"]);
  const packed = at(value, ["format", "compression"]), weights = at(value, ["model", "weights_fingerprint"]);
  const ending = typeof pattern === "string" ? /^data_\{idx\}\.(\w+)$/.exec(pattern)?.[1] : undefined;
  return {
    targetModelPath: field(value, ["model", "target_model_path"], path, "string"),
    hiddenSize: field(value, ["model", "hidden_size"], path, "number"),
    layers: ours ? ids : [...new Set(ids as number[])].sort((a, b) => a - b).map((id) => id + 1),
    ...(ours ? {} : { countedLeaving: true }),
    seqLength: field(value, ["data", "seq_length"], path, "number"),
    seed: field(value, ["data", "seed"], path, "number"),
    maxSamples: typeof data.max_samples === "number" ? data.max_samples : null,
    trainDataPath: (Array.isArray(paths) ? paths : [paths]).map(String),
    ...(typeof data.num_samples === "number" ? { numSamples: data.num_samples } : {}),
    ...(dtype === undefined ? {} : { dtype }),
    ...(ending === undefined ? {} : { ending }),
    ...(typeof weights === "string" ? { weights } : {}),
    ...(typeof packed === "string" ? { compress: packed } : {}),
    ...(typeof gpu === "string" ? { gpu } : {}),
    ...(data.strict_upstream === true ? { strictUpstream: true } : {}),
    ...(data.turn_dropout === true ? { turnDropout: true } : {}),
    ...(typeof data.assistant_pattern === "string" ? { assistantPattern: data.assistant_pattern } : {}),
    ...(typeof data.shard === "string" ? { shard: data.shard } : {}),
    speculatorsVersion: String((value as Json).speculators_version ?? ""),
  };
}

function at(value: unknown, keys: readonly string[]): unknown {
  return keys.reduce((found, key) => (found as Json | null | undefined)?.[key], value);
}

interface Kinds {
  string: string;
  number: number;
  object: object;
}

function field<K extends keyof Kinds>(
  value: unknown,
  keys: readonly string[],
  path: string,
  kind: K,
): Kinds[K] {
  const found = at(value, keys);
  if (typeof found !== kind || found === null) {
    throw new FormatError(path, `expected "${keys.join(".")}" to be of type ${kind}, received ${found}`);
  }
  return found as Kinds[K];
}
