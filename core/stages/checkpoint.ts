/**
 * A training run's checkpoints, in the speculators format with what is needed to go on: a folder named `3` after epoch 3
 * (from 0), one named `3.120` after 120 batches of it. A folder appears whole or not at all. Upstream's trainer reads
 * those of whole epochs.
 *
 * @module
 */
import { join } from "node:path";
import { writeSpeculatorConfig } from "../config/mod.ts";
import { ConfigError, NotFoundError, WriteError } from "../errors.ts";
import { readJson, writeJsonAtomic } from "../files.ts";
import { writeSafetensors } from "../formats/safetensors.ts";
import type { SpeculatorConfig } from "../plugin.ts";
import type { HostTensor } from "../tensor.ts";
import { type OptimizerContent, readScheduler, writeOptimizerFiles } from "./_optimizer_file.ts";
import { checkpointName, OLD_SUFFIX, PARTIAL_SUFFIX } from "./_checkpoint_folder.ts";

const STATE = "training_state.json", VERSION = 2;

/** Where a run stands. The fields that upstream has too are named as there. */
export interface TrainingState {
  /** Layout of this record; absent in upstream's. */
  readonly version: typeof VERSION;
  /** The epoch, from 0. */
  readonly epoch: number;
  /** Batches of it that are done; 0 when all are. */
  readonly local_step: number;
  /** Batches done in all: the place in the schedule. */
  readonly global_step: number;
  /** Settings that must not change when the run goes on; `null` in upstream's. */
  readonly settings: Readonly<Record<string, unknown>> | null;
  /** Which samples it is trained on; `null` in upstream's. */
  readonly data: string | null;
  /** Newest validation metrics. */
  readonly validation: Readonly<Record<string, number>> | null;
  /** The epoch with the lowest validation loss so far. */
  readonly best: { readonly epoch: number; readonly loss: number } | null;
}

/** What a checkpoint holds. */
export interface Checkpoint {
  /** The speculator's config. */
  readonly config: SpeculatorConfig;
  /** The speculator's tensors. */
  readonly tensors: ReadonlyMap<string, HostTensor>;
  /** The optimiser's state. */
  readonly optimizer: OptimizerContent;
  /** Where the run stands. */
  readonly state: Omit<TrainingState, "version">;
}

/**
 * Writes a checkpoint beside its final place and moves it there.
 *
 * @throws {WriteError} when it cannot be written; an older checkpoint stays
 */
export async function writeCheckpoint(folder: string, checkpoint: Checkpoint): Promise<string> {
  const { config, optimizer, state, tensors } = checkpoint,
    name = checkpointName(state.epoch, state.local_step);
  const final = join(folder, name), partial = join(folder, `.${name}${PARTIAL_SUFFIX}`);
  const old = join(folder, `.${name}${OLD_SUFFIX}`);
  try {
    await Deno.mkdir(folder, { recursive: true });
    await removed(partial);
    await Deno.mkdir(partial);
    await writeSpeculatorConfig(partial, config);
    await writeSafetensors(join(partial, "model.safetensors"), tensors, { metadata: { format: "pt" } });
    await writeOptimizerFiles(partial, optimizer);
    await writeJsonAtomic(join(partial, STATE), { version: VERSION, ...state }, { indent: 2 });
    if (state.local_step === 0 && state.validation) {
      // Upstream's trainer finds the best loss there.
      const named = Object.entries(state.validation).map(([name, value]) => [`${name}_epoch`, value]);
      await writeJsonAtomic(join(partial, "val_metrics.json"), Object.fromEntries(named));
    }
    await removed(old);
    await Deno.rename(final, old).catch(ignoreMissing);
    await Deno.rename(partial, final);
    await removed(old);
    return final;
  } catch (cause) {
    await removed(partial).catch(() => {}); // room for others, where the disk is full
    throw new WriteError(
      final,
      `expected to write a checkpoint whole, received ${(cause as Error).message}`,
      {
        cause,
        hint:
          "Check the free space and the permissions of the folder; earlier checkpoints are untouched, and the same command goes on from the newest",
      },
    );
  }
}

/**
 * Where a checkpoint's run stands. One of upstream's tells less: it is taken as it is.
 *
 * @param run the settings and the data of the run that wants to go on
 * @throws {ConfigError} when the checkpoint was made with others, or by a newer version
 */
export async function readTrainingState(
  checkpoint: string,
  run: { readonly settings: Readonly<Record<string, unknown>>; readonly data: string },
): Promise<TrainingState> {
  const path = join(checkpoint, STATE);
  const found = await readJson(path).catch((error) => {
    if (error instanceof NotFoundError) return null; // upstream 0.4 writes none
    throw error;
  }) as Partial<TrainingState> | null;
  if (found?.version === undefined) return await upstreamState(checkpoint, found);
  const counts = [found.epoch, found.local_step, found.global_step];
  if (found.version !== VERSION || !counts.every((n) => Number.isSafeInteger(n) && n! >= 0)) {
    const newer = typeof found.version === "number" && found.version > VERSION;
    throw new ConfigError(
      path,
      `expected version ${VERSION} of the training state, received ${JSON.stringify(found.version)}`,
      {
        hint: newer
          ? "It was made by a newer version of this program: update it"
          : "Start anew with --no-resume-from-checkpoint, or from its weights with --from-pretrained",
      },
    );
  }
  const state = found as TrainingState;
  for (const [name, value] of Object.entries(run.settings)) {
    checkSame(path, name, { before: state.settings?.[name], now: value });
  }
  if (state.data !== null && state.data !== run.data) {
    throw new ConfigError(path, "expected the samples that it was trained on, received others", {
      hint:
        "Give the same --data-path and --val-data-path, or start anew with --from-pretrained and another --save-path",
    });
  }
  return state;
}

function checkSame(
  path: string,
  name: string,
  { before, now }: { readonly before: unknown; readonly now: unknown },
): void {
  if (JSON.stringify(before) === JSON.stringify(now)) return;
  throw new ConfigError(
    path,
    `expected ${name} = ${JSON.stringify(before)} as before, received ${JSON.stringify(now)}`,
    { hint: "Use the same settings, or start anew with --no-resume-from-checkpoint" },
  );
}

async function upstreamState(
  checkpoint: string,
  found: Partial<TrainingState> | null,
): Promise<TrainingState> {
  const count = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : null;
  const step = count(found?.global_step) ?? await readScheduler(checkpoint);
  if (step === null) {
    throw new ConfigError(checkpoint, "expected the number of steps so far, received none", {
      hint: "Start from its weights with --from-pretrained and another --save-path",
    });
  }
  return {
    version: VERSION,
    epoch: Number(/(\d+)$/.exec(checkpoint)?.[1]),
    local_step: count(found?.local_step) ?? 0,
    global_step: step,
    settings: null,
    data: null,
    validation: null,
    best: null,
  };
}

async function removed(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch(ignoreMissing);
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
