/** A training run at work: its epochs, their validation and checkpoints. */
import { join } from "node:path";
import type { PackedBatch } from "../data/batch.ts";
import type { BatchMaker } from "../data/make_batch.ts";
import { AbortedError, NumericError } from "../errors.ts";
import type { MetricsEvent, NoteEvent, StageEvent } from "../events.ts";
import type { Runtime } from "../runtime.ts";
import type { Schedule } from "../schedule.ts";
import { linkBest, pruneCheckpoints } from "./_checkpoint_folder.ts";
import { tooManyBad, type TrainData } from "./_train_data.ts";
import { TrainMeter } from "./_train_metrics.ts";
import type { TrainModel } from "./_train_model.ts";
import { type BatchOptions, type NamedBatch, readEpoch, type SampleList } from "./batches.ts";
import { type TrainingState, writeCheckpoint } from "./checkpoint.ts";
import type { PreparedDraft } from "./draft_setup.ts";
import type { TrainOptions, TrainResult, TrainSettings } from "./train_options.ts";

/** The batches of all epochs, and the learning rate over them. */
export interface Plan {
  /** Batches of each epoch. */
  readonly batches: readonly number[];
  /** Steps of the run. */
  readonly total: number;
  /** Factor of the learning rate. */
  readonly factor: Schedule;
}

/** What a run works with. */
export interface RunParts {
  /** What was asked for. */
  readonly options: TrainOptions;
  /** The same with defaults, as far as it decides what is computed. */
  readonly settings: TrainSettings;
  /** What the core is handed. */
  readonly runtime: Runtime;
  /** The samples, as they were found. */
  readonly data: TrainData;
  /** The draft. */
  readonly draft: PreparedDraft;
  /** The draft on its device. */
  readonly model: TrainModel;
  /** Makes the batches. */
  readonly maker: BatchMaker;
  /** Trained on. */
  readonly train: SampleList;
  /** Validated on. */
  readonly validation: SampleList;
  /** Batches and learning rate. */
  readonly plan: Plan;
  /**
   * Called before the first checkpoint is written: from then on the folder is this run's.
   *
   * @returns where the checkpoints of another run went, if there were any
   */
  readonly begin: () => Promise<string | null>;
}

/** A run at work: where it stands, and what it has counted. */
export class Run {
  readonly #parts: RunParts;
  readonly #meter: TrainMeter;
  readonly #bad: Set<string>;
  #state: Omit<TrainingState, "version">;
  #checkpoint: string;
  #linked = true;
  #begun = false;
  #tokens = 0;
  #skipped = 0;

  constructor(parts: RunParts, before: TrainingState | null, checkpoint: string | null) {
    const { settings, data } = parts;
    this.#parts = parts;
    this.#meter = new TrainMeter(settings.totalSeqLen);
    this.#bad = new Set(data.bad);
    const first = { epoch: 0, local_step: 0, global_step: 0, validation: null, best: null };
    const { version: _, ...known } = before ?? { version: 0, ...first };
    const next = before && before.local_step === 0 ? { epoch: before.epoch + 1 } : {};
    this.#state = { ...known, ...next, settings, data: data.digest };
    this.#checkpoint = checkpoint ?? "";
  }

  /** Trains what is left of the epochs. */
  async *epochs(): AsyncGenerator<StageEvent, void, void> {
    const { options: { checkpointFreq = 1 }, plan, settings } = this.#parts;
    while (this.#state.epoch < settings.epochs && this.#state.global_step < plan.total) {
      yield* this.#epoch();
      const { epoch, global_step } = this.#state, whole = this.#state.local_step === 0;
      const last = epoch + 1 >= settings.epochs || global_step >= plan.total;
      yield* this.#validate();
      if (last || checkpointFreq < 1 || (epoch + 1) % checkpointFreq === 0) yield* this.#save();
      if (whole) this.#state = { ...this.#state, epoch: epoch + 1 };
    }
  }

  /** What the run gives. */
  result(seconds: number): TrainResult {
    const { best, global_step, validation } = this.#state, { options, model } = this.#parts;
    return {
      checkpoint: this.#checkpoint,
      best: best && join(options.savePath, String(best.epoch)),
      steps: global_step,
      tokens: this.#tokens,
      seconds,
      validation,
      skippedBatches: this.#skipped,
      badSamples: [...this.#bad],
      peakBytes: model.backend.memory().peak,
    };
  }

  async *#epoch(): AsyncGenerator<StageEvent, void, void> {
    const { options, plan, runtime, train } = this.#parts, { epoch } = this.#state;
    const count = plan.batches[epoch]!, every = saveEvery(options, count);
    this.#meter.skip();
    for await (const named of readEpoch(train, this.#batchOptions(epoch, this.#state.local_step))) {
      if (runtime.signal?.aborted) throw new AbortedError();
      this.#meter.end("data");
      yield* this.#report(named);
      yield* this.#step(named);
      const done = named.place + 1;
      this.#state = {
        ...this.#state,
        local_step: done === count ? 0 : done,
        global_step: this.#state.global_step + 1,
      };
      if (this.#state.global_step >= plan.total) break;
      if (every !== null && done < count && done % every === 0) yield* this.#save();
      this.#meter.skip(); // whoever listens may take time
    }
  }

  async *#step({ batch, files }: NamedBatch): AsyncGenerator<StageEvent, void, void> {
    const { model, options, plan, settings } = this.#parts, { epoch, global_step: step } = this.#state;
    const lr = settings.lr * plan.factor(step);
    let shown = "no samples";
    if (batch) {
      const { taken, values } = await model.step(batch, lr);
      this.#count(batch);
      if (!taken) {
        yield this.#notFinite(values, files);
      } else {
        shown = `loss ${values["loss"]!.toFixed(4)}`;
        if (step % (options.logFreq ?? 1) === 0) {
          const counted = {
            ...(options.skipBadBatches ? { skipped_batches: this.#skipped } : {}),
            ...(options.maxBadSamples ? { bad_samples: this.#bad.size } : {}),
          };
          yield this.#metrics("train", { ...values, lr, ...this.#meter.take(model.backend), ...counted });
        }
      }
    }
    const detail = `epoch ${epoch + 1}/${settings.epochs}  ${shown}`;
    yield { type: "progress", stage: "train", done: step + 1, total: plan.total, unit: "steps", detail };
  }

  #count(batch: PackedBatch): void {
    this.#tokens += batch.tokens.length;
    this.#meter.count(batch.tokens.length);
    this.#meter.end("compute");
  }

  /** @throws {NumericError} unless such batches are to be left out */
  #notFinite(values: Readonly<Record<string, number>>, files: readonly string[]): NoteEvent {
    const { options, settings } = this.#parts;
    const found = `is ${values["loss"]}, its gradient's norm ${values["grad_norm"]}, in a batch of ${
      files.join(", ")
    }`;
    if (!options.skipBadBatches) {
      throw new NumericError(`The loss ${found}`, {
        hint:
          `Look for broken samples among these files, lower --lr (${settings.lr}), or leave such batches out with ` +
          "--skip-bad-batches; the last checkpoint is untouched",
      });
    }
    this.#skipped++;
    return note("warning", `left out batch ${this.#state.global_step}: the loss ${found}`);
  }

  /** @throws {FormatError} when more samples are corrupt than may be */
  *#report({ bad }: NamedBatch): Generator<StageEvent, void, void> {
    const most = this.#parts.options.maxBadSamples ?? 0;
    for (const { path, error } of bad) {
      if (this.#bad.has(path)) continue;
      this.#bad.add(path);
      if (this.#bad.size > most) throw most === 0 ? error : tooManyBad([...this.#bad], most, error);
      yield note("warning", `left out a corrupt sample: ${error.message}`);
    }
  }

  async *#validate(): AsyncGenerator<StageEvent, void, void> {
    const { model, validation } = this.#parts, { epoch } = this.#state, start = performance.now();
    const notes: StageEvent[] = [];
    const batches = this.#noting(readEpoch(validation, this.#batchOptions(null, 0)), notes);
    const found = await model.validate(batches);
    yield* notes;
    if (!found) return;
    const loss = found["loss"]!, { best } = this.#state;
    const better = this.#state.local_step === 0 && Number.isFinite(loss) && (!best || loss < best.loss);
    this.#state = { ...this.#state, validation: found, best: better ? { epoch, loss } : best };
    yield this.#metrics("val", { ...found, seconds: (performance.now() - start) / 1000 });
  }

  async *#noting(
    batches: AsyncIterable<NamedBatch>,
    notes: StageEvent[],
  ): AsyncGenerator<NamedBatch, void, void> {
    for await (const named of batches) {
      notes.push(...this.#report(named));
      yield named;
    }
  }

  async *#save(): AsyncGenerator<StageEvent, void, void> {
    const { draft, model, options, plan, settings } = this.#parts, { best, epoch, global_step } = this.#state;
    const { savePath } = options, start = performance.now(), { moments, tensors } = await model.export();
    if (!this.#begun) {
      const place = await this.#parts.begin();
      if (place) yield note("info", `the checkpoints of an earlier run are now in ${place}`);
      this.#begun = true;
    }
    this.#checkpoint = await writeCheckpoint(savePath, {
      config: draft.config,
      tensors,
      optimizer: {
        moments,
        parameters: draft.parameters,
        lr: settings.lr,
        nextLr: settings.lr * plan.factor(global_step),
        weightDecay: settings.weightDecay,
        step: global_step,
      },
      state: this.#state,
    });
    if (best?.epoch === epoch) this.#linked = await linkBest(savePath, epoch) !== null;
    if (best && !this.#linked && epoch + 1 === settings.epochs) {
      yield note(
        "info",
        `the best epoch is ${best.epoch}; ${savePath}/checkpoint_best, a link to it, cannot be made`,
      );
    }
    await pruneCheckpoints(savePath, { keep: options.keep ?? Infinity, best: best?.epoch ?? null });
    yield this.#metrics("checkpoint", { seconds: (performance.now() - start) / 1000 });
  }

  #metrics(split: string, values: Readonly<Record<string, number>>): MetricsEvent {
    const { epoch, global_step: step } = this.#state;
    return { type: "metrics", stage: "train", split, step, epoch, values };
  }

  /** @param epoch `null` for the held-out samples: one order, no noise */
  #batchOptions(epoch: number | null, from: number): BatchOptions {
    const { draft: { verifier }, maker, settings: { noiseStd: std, seed, totalSeqLen } } = this.#parts;
    const { hiddenSize, vocabSize } = verifier;
    const common = { maker, totalSeqLen, from, verifier: { hiddenSize, vocabSize } };
    if (epoch === null || std === 0) return { ...common, epoch: epoch ?? 0 };
    // It depends on where the batch is and on nothing before it: a run that was stopped sees what it would have seen.
    const first = (BigInt(seed) << 64n) | (BigInt(epoch) << 32n);
    return { ...common, epoch, noise: (place) => ({ std, seed: first | BigInt(place) }) };
  }
}

/** Batches from one checkpoint within an epoch to the next. */
function saveEvery({ saveSteps, checkpointFreq = 1 }: TrainOptions, batches: number): number | null {
  return saveSteps ?? (checkpointFreq < 1 ? Math.max(1, Math.round(batches * checkpointFreq)) : null);
}

/** Something a person should know. */
export function note(level: NoteEvent["level"], text: string): NoteEvent {
  return { type: "note", stage: "train", level, text };
}
