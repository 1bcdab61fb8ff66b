/**
 * Training a draft: packed batches of captured samples, the draft plugin's objective, AdamW with a schedule, validation
 * and a checkpoint after each epoch. Stopped at any point, it goes on from the last checkpoint.
 *
 * @module
 */
import { AbortedError, ConfigError, NumericError, PluginError, SpeculatorsError } from "../errors.ts";
import { PythonRandom } from "../data/random.ts";
import type { MetricsEvent, Stage } from "../events.ts";
import { openWeights } from "../formats/weights.ts";
import { adamw, type OptimizerState } from "../optim.ts";
import { exportState, importState } from "../optim_state.ts";
import type { TensorSource } from "../formats/source.ts";
import { requireWritable } from "../folders.ts";
import { resolveLoss } from "../losses.ts";
import type { DraftOptions, Objective } from "../plugin.ts";
import type { Runtime } from "../runtime.ts";
import { schedule, type ScheduleName } from "../schedule.ts";
import { Tape } from "../tape.ts";
import type { Backend, Tensor, TypedArray } from "../tensor.ts";
import {
  type BatchOptions,
  type NamedBatch,
  planEpoch,
  readEpoch,
  readListed,
  type SampleList,
} from "./batches.ts";
import {
  latestCheckpoint,
  readOptimizer,
  readTrainingState,
  type TrainingState,
  writeCheckpoint,
} from "./checkpoint.ts";
import { type PreparedDraft, prepareDraft } from "./draft_setup.ts";
import { TrainMeter, withSimulation } from "./_train_metrics.ts";
import { downloadDraft, type DraftTensors, uploadDraft } from "../draft_tensors.ts";
import { listSamples, splitList, statesHeld, takeStates } from "./samples.ts";

/** Settings of a training run; defaults are upstream's. */
export interface TrainOptions {
  /** Folder of the verifier. */
  readonly verifierNameOrPath: string;
  /** Draft plugin; `eagle3`. */
  readonly speculatorType?: string;
  /** Folders of samples. */
  readonly dataPath: readonly string[];
  /** Folders of samples to validate on; a tenth of the data when absent. */
  readonly valDataPath?: readonly string[];
  /** Where checkpoints go. */
  readonly savePath: string;
  /** Passes over the data; 20. */
  readonly epochs?: number;
  /** Learning rate; 1e-4. */
  readonly lr?: number;
  /** Tokens of a batch; 8192. */
  readonly totalSeqLen?: number;
  /** d2t.npy of the draft vocabulary. */
  readonly d2tPath?: string;
  /** t2d.npy of the draft vocabulary. */
  readonly t2dPath?: string;
  /** Steps of test-time training; 3. */
  readonly tttSteps?: number;
  /** Factor of the loss from step to step; 1. */
  readonly tttStepLossDecay?: number;
  /** Feed true tokens to later steps. */
  readonly useOffPolicyTokens?: boolean;
  /** Loss plugin, or a JSON object of several with their weights; the draft's own loss when absent. */
  readonly lossFn?: string;
  /** Uniform noise on the states in training; 0.05. */
  readonly noiseStd?: number;
  /** Seed of weights and noise; 42. */
  readonly seed?: number;
  /** Course of the learning rate; linear. */
  readonly schedulerType?: ScheduleName;
  /** Steps of warm-up; 1 % of all. */
  readonly schedulerWarmupSteps?: number;
  /** All steps of the schedule; those of the run. */
  readonly schedulerTotalSteps?: number;
  /** Waves of the cosine; 0.5. */
  readonly schedulerNumCosineCycles?: number;
  /** Largest norm of the gradients; 1. */
  readonly maxGradNorm?: number;
  /** Go on from the newest checkpoint in `savePath`; true. */
  readonly resume?: boolean;
  /** Steps from one `metrics` event to the next; 1. */
  readonly logFreq?: number;
  /** Settings of the draft model. */
  readonly draft?: DraftOptions;
}

/** What a training run gives. */
export interface TrainResult {
  /** Folder of the last checkpoint. */
  readonly checkpoint: string;
  /** Optimiser steps in all. */
  readonly steps: number;
  /** Tokens trained on in this call. */
  readonly tokens: number;
  /** Seconds of this call. */
  readonly seconds: number;
  /** Metrics of the last validation, averaged over its batches. */
  readonly validation: Readonly<Record<string, number>> | null;
  /** Largest number of bytes the device held. */
  readonly peakBytes: number;
}

/** All that a run holds while it works. */
interface Run {
  readonly runtime: Runtime;
  readonly backend: Backend;
  readonly draft: PreparedDraft;
  readonly tensors: DraftTensors;
  readonly objective: Objective;
  readonly train: SampleList;
  readonly validation: SampleList;
  readonly settings: ReturnType<typeof withDefaults>;
}

function withDefaults(options: TrainOptions) {
  const settings = {
    speculatorType: options.speculatorType ?? "eagle3",
    epochs: options.epochs ?? 20,
    lr: options.lr ?? 1e-4,
    totalSeqLen: options.totalSeqLen ?? 8192,
    tttSteps: options.tttSteps ?? 3,
    tttStepLossDecay: options.tttStepLossDecay ?? 1,
    useOffPolicyTokens: options.useOffPolicyTokens ?? false,
    lossFn: options.lossFn ?? null,
    noiseStd: options.noiseStd ?? 0.05,
    seed: options.seed ?? 42,
    schedulerType: options.schedulerType ?? "linear",
    schedulerWarmupSteps: options.schedulerWarmupSteps ?? null,
    schedulerTotalSteps: options.schedulerTotalSteps ?? null,
    schedulerNumCosineCycles: options.schedulerNumCosineCycles ?? 0.5,
    maxGradNorm: options.maxGradNorm ?? 1,
    ...(options.draft?.extra ? { extra: options.draft.extra } : {}),
  };
  const positive = ["epochs", "lr", "totalSeqLen", "tttSteps", "maxGradNorm"] as const;
  for (const name of positive) {
    if (!(settings[name] > 0)) {
      throw new ConfigError(name, `expected a number above 0, received ${settings[name]}`);
    }
  }
  if (!(settings.noiseStd >= 0)) {
    throw new ConfigError("noiseStd", `expected 0 or more, received ${settings.noiseStd}`);
  }
  return settings;
}

/**
 * Trains a draft.
 *
 * @throws {ConfigError} when the settings, the data and the verifier do not fit each other
 * @throws {NumericError} when the loss is no longer finite; names the batch's files
 * @throws {AbortedError} when asked to stop
 */
export async function* train(options: TrainOptions, runtime: Runtime): Stage<TrainResult> {
  const settings = withDefaults(options), { logFreq = 1 } = options;
  if (!(Number.isInteger(logFreq) && logFreq > 0)) {
    throw new ConfigError("logFreq", `expected a whole number from 1 on, received ${logFreq}`);
  }
  const start = performance.now();
  using lists = await listSamples(options.dataPath);
  using held = options.valDataPath ? await listSamples(options.valDataPath) : null;
  const split = held ? { train: lists, validation: held } : splitList(lists);
  if (split.train.items.length === 0) {
    throw new ConfigError(options.dataPath.join(", "), "expected samples to train on, received none", {
      hint: "Make some with the command datagen",
    });
  }
  const resumed = options.resume === false ? null : await latestCheckpoint(options.savePath);
  const before = resumed ? await readTrainingState(resumed, settings) : null;
  using source: TensorSource | null = resumed ? await openWeights(resumed) : null;
  const states = await statesHeld(options.dataPath);
  using draft = await prepareDraft({ ...options, held: states }, settings, {
    runtime,
    checkpoint: resumed,
    source,
  });
  const take = (list: SampleList) => takeStates(list, draft.needs, draft.verifier.layers);
  const train = await take(split.train), validation = await take(split.validation);
  await checkWidths(draft, train);
  await requireWritable(options.savePath);
  using backend = await runtime.openBackend();
  using tensors = uploadDraft(backend, draft.host, draft.infos);
  const terms = settings.lossFn === null
    ? {}
    : { loss: await resolveLoss(settings.lossFn, runtime.registry) };
  const objective = draft.objective({ ...settings, ...terms });
  const run: Run = { runtime, backend, draft, tensors, objective, train, validation, settings };
  const optimizer = adamw(runtime.ops, { maxNorm: settings.maxGradNorm });
  using moments: OptimizerState = resumed
    ? importState(backend, await readOptimizer(resumed))
    : optimizer.init(backend, tensors.trained);
  const update = (gradients: Map<string, Tensor | null>, lr: number) =>
    optimizer.update(moments, { parameters: tensors.trained, gradients, lr }).norm;

  const perEpoch = Array.from(
    { length: settings.epochs },
    (_, epoch) => planEpoch(train, { totalSeqLen: settings.totalSeqLen, epoch }).length,
  );
  const total = perEpoch.reduce((a, b) => a + b, 0);
  const totalSteps = settings.schedulerTotalSteps ?? total;
  const factor = schedule(settings.schedulerType, {
    totalSteps,
    warmupSteps: settings.schedulerWarmupSteps ?? Math.floor(totalSteps / 100),
    cycles: settings.schedulerNumCosineCycles,
  });
  if (resumed && before) {
    const finished = before.epoch + 1 >= settings.epochs;
    const text = finished
      ? `${resumed} is the last of ${settings.epochs} epochs already, nothing is left to train`
      : `goes on from ${resumed}, with epoch ${before.epoch + 2} of ${settings.epochs}`;
    yield { type: "note", stage: "train", level: "info", text };
  }
  if (draft.fitted) {
    const text = `the draft reads the states ${
      draft.needs.layers.join(", ")
    } (id i enters layer i), which the samples hold`;
    yield { type: "note", stage: "train", level: "info", text };
  }
  let step = before?.step ?? 0, tokens = 0, checkpoint = resumed ?? "", metrics = before?.validation ?? null;
  backend.resetPeak();
  const meter = new TrainMeter(settings.totalSeqLen);
  for (let epoch = before ? before.epoch + 1 : 0; epoch < settings.epochs; epoch++) {
    meter.skip();
    for await (const named of readEpoch(train, epochOptions(run, epoch))) {
      if (runtime.signal?.aborted) throw new AbortedError();
      meter.end("data");
      const lr = settings.lr * factor(step);
      const values = await trainStep(run, named, (gradients) => update(gradients, lr));
      tokens += named.batch.tokens.length;
      meter.count(named.batch.tokens.length);
      meter.end("compute");
      if (step % logFreq === 0) {
        const all = { ...withSimulation(values), lr, ...meter.take(backend) };
        yield event("train", { step, epoch, values: all });
      }
      step++;
      yield {
        type: "progress",
        stage: "train",
        done: step,
        total,
        unit: "steps",
        detail: `epoch ${epoch + 1}/${settings.epochs}  loss ${values.loss!.toFixed(4)}`,
      };
      meter.skip(); // whoever listens may take time
    }
    const validating = performance.now();
    metrics = await validate(run);
    if (metrics) {
      yield event("val", { step, epoch, values: { ...metrics, seconds: secondsSince(validating) } });
    }
    const saving = performance.now();
    const state: TrainingState = { version: 1, epoch, step, settings, validation: metrics };
    checkpoint = await writeCheckpoint(options.savePath, {
      config: draft.config,
      tensors: await downloadDraft(tensors, draft.host, draft.infos),
      optimizer: await exportState(moments),
      state,
    });
    yield event("checkpoint", { step, epoch, values: { seconds: secondsSince(saving) } });
  }
  const seconds = secondsSince(start);
  return { checkpoint, steps: step, tokens, seconds, validation: metrics, peakBytes: backend.memory().peak };
}

/** Noise that depends on seed and epoch alone, so that a run that was stopped sees what it would have seen. */
function epochOptions(run: Run, epoch: number): BatchOptions {
  const { totalSeqLen, noiseStd, seed } = run.settings;
  if (noiseStd === 0) return { totalSeqLen, epoch };
  const random = new PythonRandom(seed * 1_000_003 + epoch);
  return { totalSeqLen, epoch, noise: { kind: "uniform", std: noiseStd, random: () => random.float() } };
}

/** One optimiser step; gives the metrics and the gradients' norm. */
async function trainStep(
  run: Run,
  named: NamedBatch,
  update: (gradients: Map<string, Tensor | null>) => Tensor,
): Promise<Record<string, number>> {
  const { backend, objective, tensors, runtime, settings } = run, names = [...tensors.trained.keys()];
  const found = appendWork(run, () => {
    const parameters = [...tensors.trained.values()];
    const tape = new Tape(backend, runtime.ops).watch(parameters);
    const result = objective.loss(tape.run, {
      backend,
      tensors: tensors.all,
      batch: named.batch,
      gradients: true,
    });
    for (const tensor of Object.values(result.outputs)) tape.keep(tensor);
    const gradients = tape.gradientsIfAny(result.loss, parameters);
    const norm = update(new Map(names.map((name, i) => [name, gradients[i]!])));
    return { ...result, outputs: { ...result.outputs, grad_norm: norm } };
  });
  const values = await found.read();
  if (!Number.isFinite(values.loss) || !Number.isFinite(values.grad_norm)) {
    throw new NumericError(
      `The loss is ${values.loss}, its gradient's norm ${values.grad_norm}, in a batch of ${
        named.files.join(", ")
      }`,
      {
        hint:
          `Look for broken samples among these files, or lower --lr (${settings.lr}); the last checkpoint is untouched`,
      },
    );
  }
  return values;
}

/** Metrics over the held-out samples, averaged over batches; `null` when there are none. */
async function validate(run: Run): Promise<Record<string, number> | null> {
  const { backend, objective, tensors, validation, settings } = run, sums: Record<string, number> = {};
  let batches = 0;
  for await (const { batch } of readEpoch(validation, { totalSeqLen: settings.totalSeqLen, epoch: 0 })) {
    if (run.runtime.signal?.aborted) throw new AbortedError();
    const found = appendWork(
      run,
      () => objective.loss(backend.run, { backend, tensors: tensors.all, batch, gradients: false }),
    );
    for (const [name, value] of Object.entries(await found.read())) sums[name] = (sums[name] ?? 0) + value;
    batches++;
  }
  return batches === 0
    ? null
    : withSimulation(Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / batches])));
}

/** Appends a plugin's work inside a scope and keeps what the metrics are made of. */
function appendWork(
  run: Run,
  work: () => {
    outputs: Readonly<Record<string, Tensor>>;
    metrics(outputs: Record<string, TypedArray>): Record<string, number>;
  },
): { read(): Promise<Record<string, number>> } {
  using scope = run.backend.scope();
  let result: ReturnType<typeof work>;
  try {
    result = work();
  } catch (cause) {
    if (cause instanceof SpeculatorsError) throw cause;
    throw new PluginError(run.settings.speculatorType, "it failed while computing the loss", { cause });
  }
  const names = Object.keys(result.outputs), kept = names.map((name) => scope.keep(result.outputs[name]!));
  return {
    async read() {
      const data = await run.backend.readAll(kept);
      for (const tensor of kept) tensor[Symbol.dispose]();
      const values = Object.fromEntries(names.map((name, i) => [name, data[i]!]));
      const norm = values["grad_norm"];
      return { ...result.metrics(values), ...(norm ? { grad_norm: norm[0]! } : {}) };
    },
  };
}

/** The first sample's layers must be those that the draft reads, or every later message would be about shapes. */
async function checkWidths(draft: PreparedDraft, list: SampleList): Promise<void> {
  const first = list.items[0]!, { hidden } = await readListed(first);
  const wanted = draft.needs.layers.length + (draft.needs.last ? 1 : 0), width = draft.verifier.hiddenSize;
  if (hidden.length === wanted && hidden.every((layer) => layer.shape[1] === width)) return;
  const found = `${hidden.length} layers of width ${hidden[0]?.shape[1]}`;
  throw new ConfigError(
    first.store.path(first.index),
    `expected ${wanted} layers of width ${width}, received ${found}`,
    {
      hint: "Make the samples with datagen for this verifier and the same --layer-ids",
    },
  );
}

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000;
}

function event(split: string, rest: Pick<MetricsEvent, "step" | "epoch" | "values">): MetricsEvent {
  return { type: "metrics", stage: "train", split, ...rest };
}
