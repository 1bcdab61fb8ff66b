/** A draft before training: its algorithm, its config, its first tensors. */
import { checkConfig, readSpeculatorConfig } from "../config/mod.ts";
import { ConfigError } from "../errors.ts";
import { readVocabularyMap } from "../data/vocabulary.ts";
import type {
  DraftAlgorithm,
  DraftNeeds,
  DraftOptions,
  DraftTensorInfo,
  Objective,
  ObjectiveOptions,
  SpeculatorConfig,
  VerifierInfo,
  VocabularyMap,
} from "../plugin.ts";
import type { TensorSource } from "../formats/source.ts";
import type { Runtime } from "../runtime.ts";
import type { HostTensor } from "../tensor.ts";
import { openVerifier } from "../verifier.ts";

/** A draft ready to be uploaded. */
export interface PreparedDraft extends Disposable {
  /** How it is trained. */
  objective(options: ObjectiveOptions): Objective;
  /** Its config. */
  readonly config: SpeculatorConfig;
  /** Its tensors' names and shapes. */
  readonly infos: readonly DraftTensorInfo[];
  /** Its tensors. */
  readonly host: ReadonlyMap<string, HostTensor>;
  /** The states it reads. */
  readonly needs: DraftNeeds;
  /** Whether it reads others than by default, because the samples hold others. */
  readonly fitted: boolean;
  /** The verifier it is for. */
  readonly verifier: VerifierInfo;
  /** Where that lies. */
  readonly verifierFolder: string;
  /** Names of its tensors that are parameters of a Python module (others are buffers), in the plugin's order. */
  readonly parameters: readonly string[];
}

/** What is asked for. */
export interface DraftRequest {
  /** Folder of the verifier. */
  readonly verifierNameOrPath: string;
  /** d2t.npy of the draft vocabulary. */
  readonly d2tPath?: string;
  /** t2d.npy of the draft vocabulary. */
  readonly t2dPath?: string;
  /** Settings of the draft model. */
  readonly draft?: DraftOptions;
  /** States that the samples hold, the last one among them; a new draft reads these unless it is told others. */
  readonly held?: readonly number[] | null;
}

const FLOATS: ReadonlySet<string> = new Set(["f64", "f32", "bf16", "f16"]);

/** Makes a new draft, or goes on from a checkpoint. */
export async function prepareDraft(
  request: DraftRequest,
  settings: { readonly speculatorType: string; readonly seed: number },
  from: {
    readonly runtime: Runtime;
    readonly checkpoint: string | null;
    readonly source: TensorSource | null;
  },
): Promise<PreparedDraft> {
  const { registry } = from.runtime;
  const plugin = await registry.get("draft", settings.speculatorType);
  if (!plugin.trainable) {
    throw new ConfigError(
      "speculatorType",
      `expected a draft that can be trained, received "${plugin.name}"`,
    );
  }
  const algorithm = await plugin.load();
  const verifier = await openVerifier(request.verifierNameOrPath, from.runtime);
  try {
    const vocabulary = await vocabularyOf(request);
    if (vocabulary && vocabulary.t2d.length !== verifier.info.vocabSize) {
      throw new ConfigError(
        request.t2dPath!,
        `expected ${verifier.info.vocabSize} entries, the verifier's vocabulary, received ${vocabulary.t2d.length}`,
        { hint: "Make the mapping with vocab-map and this verifier as --target-model-path" },
      );
    }
    const size = vocabulary ? { draftVocabSize: vocabulary.d2t.length } : {};
    const options = { ...request.draft, ...size }, held = request.held ?? null;
    const fit = from.checkpoint ? null : fittingIds(algorithm, verifier.info, { held, options });
    const config = from.checkpoint
      ? await checkConfig(algorithm.schema, await readSpeculatorConfig(from.checkpoint), {
        where: `${from.checkpoint}/config.json`,
      })
      : algorithm.configure(verifier.info, fit ? { ...options, layerIds: fit } : options);
    checkVocabulary(config, vocabulary, request);
    const host = await algorithm.initialise(config, {
      seed: settings.seed,
      verifier: verifier.weights,
      vocabulary,
      checkpoint: from.source,
    });
    const infos = algorithm.tensors(config);
    return {
      objective: (options) => algorithm.objective!(config, options),
      config,
      infos,
      host,
      needs: algorithm.needs(config, verifier.info),
      fitted: fit !== null,
      verifier: verifier.info,
      verifierFolder: verifier.folder,
      parameters: infos.flatMap(({ name }) => FLOATS.has(host.get(name)?.dtype ?? "bool") ? [name] : []),
      [Symbol.dispose]: () => verifier[Symbol.dispose](),
    };
  } catch (error) {
    verifier[Symbol.dispose]();
    throw error;
  }
}

/** A draft that goes on has its vocabulary: another mapping beside it would be passed over without a word. */
function checkVocabulary(
  config: SpeculatorConfig,
  vocabulary: VocabularyMap | null,
  { d2tPath }: DraftRequest,
): void {
  const size = config["draft_vocab_size"];
  if (!vocabulary || typeof size !== "number" || vocabulary.d2t.length === size) return;
  throw new ConfigError(
    d2tPath!,
    `expected ${size} entries, the draft's vocabulary, received ${vocabulary.d2t.length}`,
    { hint: "Give the mapping that the draft was made with, or none" },
  );
}

/** The samples' states, where a new draft would read others: those that the Python system makes are not its default. */
function fittingIds(
  algorithm: DraftAlgorithm,
  verifier: VerifierInfo,
  { held, options }: { readonly held: readonly number[] | null; readonly options: DraftOptions },
): readonly number[] | null {
  if (held === null || options.layerIds) return null;
  const { layers } = algorithm.needs(algorithm.configure(verifier, options), verifier);
  const others = held.filter((id) => id !== verifier.layers);
  return layers.every((id) => held.includes(id)) || others.length !== layers.length ? null : others;
}

async function vocabularyOf({ d2tPath, t2dPath }: DraftRequest): Promise<VocabularyMap | null> {
  if (!d2tPath && !t2dPath) return null;
  if (!d2tPath || !t2dPath) {
    throw new ConfigError(
      "vocabulary mapping",
      `expected both d2t and t2d, received only ${d2tPath ?? t2dPath}`,
      {
        hint: "Give --d2t-path and --t2d-path together; vocab-map writes both",
      },
    );
  }
  return await readVocabularyMap(d2tPath, t2dPath);
}
