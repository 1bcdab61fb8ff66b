/** A draft before training: its algorithm, its config, its first tensors. */
import { checkConfig, readSpeculatorConfig } from "../config/mod.ts";
import { ConfigError } from "../errors.ts";
import { readVocabularyMap } from "../data/vocabulary.ts";
import type {
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
  /** The verifier it is for. */
  readonly verifier: VerifierInfo;
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
}

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
    const config = from.checkpoint
      ? await checkConfig(algorithm.schema, await readSpeculatorConfig(from.checkpoint), {
        where: `${from.checkpoint}/config.json`,
      })
      : algorithm.configure(verifier.info, { ...request.draft, ...size });
    const host = await algorithm.initialise(config, {
      seed: settings.seed,
      verifier: verifier.weights,
      vocabulary,
      checkpoint: from.source,
    });
    return {
      objective: (options) => algorithm.objective!(config, options),
      config,
      infos: algorithm.tensors(config),
      host,
      needs: algorithm.needs(config, verifier.info),
      verifier: verifier.info,
      [Symbol.dispose]: () => verifier[Symbol.dispose](),
    };
  } catch (error) {
    verifier[Symbol.dispose]();
    throw error;
  }
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
