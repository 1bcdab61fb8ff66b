/**
 * Training a draft: packed batches of captured samples, the draft plugin's objective, AdamW with a schedule, validation
 * and checkpoints. Stopped or killed at any point, it goes on from the newest checkpoint to the same parameters.
 *
 * @module
 */
import { openBatchMaker } from "../data/make_batch.ts";
import type { Stage } from "../events.ts";
import { lockFolder } from "../folder_lock.ts";
import { requireWritable } from "../folders.ts";
import { resolveLoss } from "../losses.ts";
import type { TensorSource } from "../formats/source.ts";
import { findWeights, openWeights } from "../formats/weights.ts";
import type { Runtime } from "../runtime.ts";
import { schedule } from "../schedule.ts";
import { latestCheckpoint, recoverCheckpoints, setAside } from "./_checkpoint_folder.ts";
import { readOptimizerFile } from "./_optimizer_file.ts";
import { recordProvenance } from "./_provenance.ts";
import { fitTrainData, openTrainData } from "./_train_data.ts";
import { TrainModel } from "./_train_model.ts";
import { note, type Plan, Run } from "./_train_run.ts";
import { planEpoch, type SampleList } from "./batches.ts";
import { readTrainingState, type TrainingState } from "./checkpoint.ts";
import { prepareDraft } from "./draft_setup.ts";
import { statesHeld } from "./samples.ts";
import { type TrainOptions, type TrainResult, type TrainSettings, trainSettings } from "./train_options.ts";

/**
 * Trains a draft.
 *
 * Its `metrics` events, by split: `train` with the objective's own (`loss`, `loss_i`, `full_acc_i`, `cond_acc_i`),
 * `simulated_accepted_length`, `lr`, `grad_norm` and those of {@linkcode TrainMeter.take}; `val` with the objective's
 * own, the simulated length and `seconds`; `checkpoint` with `seconds`.
 *
 * @throws {ConfigError} when the settings, the data and the verifier do not fit each other
 * @throws {NumericError} when the loss is no longer finite; names the batch's files
 * @throws {FormatError} when more samples are corrupt than may be
 * @throws {WriteError} when a checkpoint cannot be written
 * @throws {AbortedError} when asked to stop
 */
export async function* train(options: TrainOptions, runtime: Runtime): Stage<TrainResult> {
  const settings = trainSettings(options), start = performance.now(), { savePath } = options;
  using data = await openTrainData(options, settings.trainDataRatio);
  await requireWritable(savePath);
  await using _lock = await lockFolder(savePath);
  await recoverCheckpoints(savePath);
  const resumed = options.resume === false ? null : await latestCheckpoint(savePath);
  const before = resumed ? await readTrainingState(resumed, { settings, data: data.digest }) : null;
  const from = resumed ?? options.fromPretrained ?? null;
  using source: TensorSource | null = from && (resumed || await hasWeights(from))
    ? await openWeights(from)
    : null;
  const request = { ...options, held: await statesHeld(options.dataPath) };
  using draft = await prepareDraft(request, settings, { runtime, checkpoint: from, source });
  const { train, validation, warnings } = await fitTrainData(data, draft, draft.verifierFolder);
  const loss = settings.lossFn === null ? undefined : await resolveLoss(settings.lossFn, runtime.registry);
  const trained = draft.infos.filter((info) => info.trained);
  const moments = resumed ? await readOptimizerFile(resumed, trained) : null;
  const plan = planOf(options, settings, train);
  for (const text of warnings) yield note("warning", text);
  if (resumed && before) {
    yield note("info", goesOn(resumed, before, { epochs: settings.epochs, total: plan.total }));
  }
  if (draft.fitted) {
    const states = draft.needs.layers.join(", ");
    yield note("info", `the draft reads the states ${states} (id i enters layer i), which the samples hold`);
  }

  using backend = await runtime.openBackend();
  using model = new TrainModel(backend, draft, {
    runtime,
    settings,
    moments,
    loss,
    memoryLimit: options.memoryLimit,
  });
  const begin = async () => {
    await recordProvenance(savePath, {
      command: options.command ?? null,
      device: backend.description,
      verifier: options.verifierNameOrPath,
      data: { train: options.dataPath, validation: options.valDataPath ?? [], sha256: data.digest },
      settings,
      from,
    });
    return options.resume === false ? await setAside(savePath) : null;
  };
  using maker = openBatchMaker();
  backend.resetPeak();
  const run = new Run(
    { options, settings, runtime, data, draft, model, maker, train, validation, plan, begin },
    before,
    resumed,
  );
  yield* run.epochs();
  return run.result((performance.now() - start) / 1000);
}

function planOf(options: TrainOptions, settings: TrainSettings, train: SampleList): Plan {
  const { epochs, totalSeqLen } = settings;
  const batches = Array.from(
    { length: epochs },
    (_, epoch) => planEpoch(train, { totalSeqLen, epoch }).length,
  );
  const all = batches.reduce((a, b) => a + b, 0), totalSteps = settings.schedulerTotalSteps ?? all;
  return {
    batches,
    total: Math.min(all, options.maxSteps ?? Infinity),
    factor: schedule(settings.schedulerType, {
      totalSteps,
      warmupSteps: settings.schedulerWarmupSteps ?? Math.floor(totalSteps * settings.schedulerWarmupRatio),
      cycles: settings.schedulerNumCosineCycles,
    }),
  };
}

function goesOn(
  checkpoint: string,
  { epoch, global_step, local_step }: TrainingState,
  { epochs, total }: { readonly epochs: number; readonly total: number },
): string {
  const next = local_step === 0 ? epoch + 1 : epoch;
  if (next >= epochs || global_step >= total) {
    return `${checkpoint} is the last of ${epochs} epochs already, nothing is left to train`;
  }
  const within = local_step === 0 ? "" : `, after ${local_step} batches of it`;
  return `goes on from ${checkpoint}, with epoch ${next + 1} of ${epochs}${within}`;
}

/** A speculator without weights gives its config alone. */
async function hasWeights(folder: string): Promise<boolean> {
  return await findWeights(folder).then(() => true, () => false);
}
