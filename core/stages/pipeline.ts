/**
 * Text to an evaluated speculator in one run: datagen → vocab-map → train → evaluate. What is finished is not done again,
 * what was stopped goes on.
 *
 * @module
 */
import { join } from "node:path";
import { ConfigError, NotFoundError } from "../errors.ts";
import type { NoteEvent, Stage } from "../events.ts";
import { readJson, writeJsonAtomic } from "../files.ts";
import { requireWritable } from "../folders.ts";
import type { Runtime } from "../runtime.ts";
import { datagen, type DatagenOptions, type DatagenResult } from "./datagen.ts";
import { evaluate, type EvaluateOptions, type EvaluateResult } from "./evaluate.ts";
import type { PipelineSettings, PipelineStage } from "./pipeline_settings.ts";
import { train } from "./train.ts";
import type { TrainOptions, TrainResult } from "./train_options.ts";
import { vocabMap, type VocabMapResult } from "./vocab_map.ts";

/** What is run, and where everything goes. */
export interface PipelineOptions {
  /** The verifier. */
  readonly verifierNameOrPath: string;
  /** Folder of the samples (`gen`), the vocabulary mapping, the checkpoints and the records of the run. */
  readonly outputDir: string;
  /**
   * Settings of the stages, by the names of their options; where things go is set here. Without
   * `vocabMap.draftVocabSize` the draft has the verifier's vocabulary, without `evaluate.data` nothing is evaluated.
   * `datagen.valDataPath` names conversations to validate on; without them a part of the others is held out.
   */
  readonly stages: PipelineSettings;
  /** The command line, to be recorded. */
  readonly command?: string;
}

/** What each stage gave, now or before. */
export interface PipelineResult {
  /** Samples. */
  readonly datagen: DatagenResult;
  /** Samples to validate on; `null` where a part of the others is held out. */
  readonly valDatagen: DatagenResult | null;
  /** Vocabulary mapping; `null` without one. */
  readonly vocabMap: VocabMapResult | null;
  /** Training. */
  readonly train: TrainResult;
  /** Evaluation of the best checkpoint; `null` without data for it. */
  readonly evaluate: EvaluateResult | null;
}

/** `pipeline.json`: the settings of each finished stage and what it gave. */
type Finished = Partial<
  Record<PipelineStage | "valDatagen", { readonly settings: unknown; readonly result: unknown }>
>;

/**
 * Runs the stages that are not finished. A stage counts as finished when it was with the same settings, and those before
 * it; otherwise it is run again, and refuses itself what does not fit what it left (`settings.json` has the settings of
 * all, `pipeline.json` their results).
 *
 * @throws {ConfigError} when a setting is missing, or does not fit what is there
 * @throws {WriteError} when the folder cannot be written
 */
export async function* pipeline(options: PipelineOptions, runtime: Runtime): Stage<PipelineResult> {
  const { command, outputDir, stages, verifierNameOrPath } = options,
    at = (...parts: string[]) => join(outputDir, ...parts);
  const typed = command === undefined ? {} : { command };
  if (!Array.isArray(stages.datagen["trainDataPath"])) {
    throw new ConfigError("datagen.trainDataPath", "expected the conversations to train on, received none", {
      hint: "Name them in the file, or give --train-data-path",
    });
  }
  await requireWritable(outputDir);
  await writeJsonAtomic(at("settings.json"), { verifierNameOrPath, outputDir, ...stages });
  const steps = new Steps(at("pipeline.json"), await finishedBefore(at("pipeline.json")), verifierNameOrPath);
  const { valDataPath, ...generation } = stages.datagen;
  const samples = (trainDataPath: unknown, folder: string, tokenFreqPath: string) =>
    datagen({
      ...generation as unknown as DatagenOptions,
      ...typed,
      trainDataPath: trainDataPath as string[],
      targetModelPath: verifierNameOrPath,
      outputDir: at(folder),
      tokenFreqPath,
    }, runtime);
  const made = yield* steps.run(
    "datagen",
    generation,
    () => samples(generation["trainDataPath"], "gen", at("vocab_mapping", "token_freq.pt")),
  );
  const held = valDataPath === undefined ? null : yield* steps.run(
    "valDatagen",
    { ...generation, valDataPath },
    () => samples(valDataPath, "gen_val", at("vocab_mapping", "val_token_freq.pt")),
  );
  const size = stages.vocabMap["draftVocabSize"] as number | undefined;
  const mapped = size === undefined ? null : yield* steps.run("vocabMap", stages.vocabMap, () =>
    vocabMap({
      tokenFreqPath: [at("vocab_mapping", "token_freq.pt")],
      draftVocabSize: size,
      targetModelPath: verifierNameOrPath,
      outputPath: at("vocab_mapping"),
    }, runtime));
  const folders = stages.train["valDataPath"] as readonly string[] | undefined;
  const training = held ? { ...stages.train, valDataPath: [...folders ?? [], held.folder] } : stages.train;
  const trained = yield* steps.run("train", training, () =>
    train({
      ...training as unknown as TrainOptions,
      ...typed,
      verifierNameOrPath,
      dataPath: [at("gen")],
      savePath: at("checkpoints"),
      ...(mapped ? { d2tPath: mapped.paths.d2t, t2dPath: mapped.paths.t2d } : {}),
    }, runtime));
  const evaluated = stages.evaluate["data"] === undefined
    ? null
    : yield* steps.run("evaluate", stages.evaluate, () =>
      evaluate({
        ...stages.evaluate as unknown as EvaluateOptions,
        base: verifierNameOrPath,
        speculator: trained.best ?? trained.checkpoint,
      }, runtime));
  return { datagen: made, valDatagen: held, vocabMap: mapped, train: trained, evaluate: evaluated };
}

/** Runs stages or tells what they gave before. */
class Steps {
  readonly #path: string;
  readonly #before: Finished;
  readonly #finished: Finished = {};
  readonly #verifier: string;
  #same = true;

  constructor(path: string, before: Finished, verifier: string) {
    this.#path = path;
    this.#before = before;
    this.#verifier = verifier;
  }

  async *run<R>(
    name: keyof Finished,
    given: Readonly<Record<string, unknown>>,
    start: () => Stage<R>,
  ): Stage<R> {
    const settings = { verifier: this.#verifier, ...given }, before = this.#before[name];
    this.#same &&= before !== undefined && JSON.stringify(before.settings) === JSON.stringify(settings);
    if (this.#same && before) {
      this.#finished[name] = before;
      yield note(name, `${name} is finished already, and not done again`);
      return before.result as R;
    }
    const result = yield* start();
    this.#finished[name] = { settings, result };
    await writeJsonAtomic(this.#path, this.#finished);
    return result;
  }
}

async function finishedBefore(path: string): Promise<Finished> {
  const found = await readJson(path).catch((error) => {
    if (error instanceof NotFoundError) return {};
    throw error;
  });
  return typeof found === "object" && found !== null ? found as Finished : {};
}

function note(stage: string, text: string): NoteEvent {
  return { type: "note", stage, level: "info", text };
}
