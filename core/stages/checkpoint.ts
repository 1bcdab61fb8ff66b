/**
 * A training run's checkpoints: one folder an epoch, named by its number from 0, in the speculators format, with what is
 * needed to go on. A folder appears whole or not at all.
 *
 * @module
 */
import { join } from "node:path";
import { writeSpeculatorConfig } from "../config/mod.ts";
import { ConfigError, WriteError } from "../errors.ts";
import { readJson, writeJsonAtomic } from "../files.ts";
import { openSafetensors, writeSafetensors } from "../formats/safetensors.ts";
import type { SpeculatorConfig } from "../plugin.ts";
import type { HostTensor } from "../tensor.ts";

const STATE = "training_state.json", OPTIMIZER = "optimizer.safetensors";

/** Where a run stands after an epoch. */
export interface TrainingState {
  /** Layout of this record. */
  readonly version: 1;
  /** Epoch just finished, from 0. */
  readonly epoch: number;
  /** Optimiser steps so far. */
  readonly step: number;
  /** Settings that must not change when the run goes on. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Validation metrics after this epoch. */
  readonly validation: Readonly<Record<string, number>> | null;
}

/** What a checkpoint holds. */
export interface Checkpoint {
  /** The speculator's config. */
  readonly config: SpeculatorConfig;
  /** The speculator's tensors. */
  readonly tensors: ReadonlyMap<string, HostTensor>;
  /** The optimiser's moments, see `exportState`. */
  readonly optimizer: ReadonlyMap<string, HostTensor>;
  /** Where the run stands. */
  readonly state: TrainingState;
}

/**
 * Writes a checkpoint beside its final place and moves it there.
 *
 * @throws {WriteError} when it cannot be written; an older checkpoint stays
 */
export async function writeCheckpoint(folder: string, checkpoint: Checkpoint): Promise<string> {
  const final = join(folder, String(checkpoint.state.epoch)),
    partial = join(folder, `.${checkpoint.state.epoch}.partial`);
  try {
    await Deno.mkdir(folder, { recursive: true });
    await Deno.remove(partial, { recursive: true }).catch(ignoreMissing);
    await Deno.mkdir(partial);
    await writeSpeculatorConfig(partial, checkpoint.config);
    await writeSafetensors(join(partial, "model.safetensors"), checkpoint.tensors, {
      metadata: { format: "pt" },
    });
    await writeSafetensors(join(partial, OPTIMIZER), checkpoint.optimizer);
    await writeJsonAtomic(join(partial, STATE), checkpoint.state, { indent: 2 });
    await Deno.remove(final, { recursive: true }).catch(ignoreMissing);
    await Deno.rename(partial, final);
    return final;
  } catch (cause) {
    if (cause instanceof WriteError) throw cause;
    throw new WriteError(final, "expected to write a checkpoint whole, received an error", {
      cause,
      hint: "Check the free space and the permissions of the folder; earlier checkpoints are untouched",
    });
  }
}

/**
 * The newest checkpoint of a run, or `null` when there is none. Half-written folders do not count.
 *
 * @throws {WriteError} when the name is a file's
 */
export async function latestCheckpoint(folder: string): Promise<string | null> {
  let newest = -1;
  try {
    for await (const entry of Deno.readDir(folder)) {
      if (entry.isDirectory && /^\d+$/.test(entry.name)) newest = Math.max(newest, Number(entry.name));
    }
  } catch (cause) {
    if (cause instanceof Deno.errors.NotADirectory) {
      throw new WriteError(folder, "expected a folder for checkpoints, received a file", { cause });
    }
    ignoreMissing(cause);
  }
  return newest < 0 ? null : join(folder, String(newest));
}

/**
 * Where a checkpoint's run stands.
 *
 * @param settings those of the run that wants to go on
 * @throws {ConfigError} when the checkpoint was made with other settings
 */
export async function readTrainingState(
  checkpoint: string,
  settings: Readonly<Record<string, unknown>>,
): Promise<TrainingState> {
  const path = join(checkpoint, STATE);
  const state = await readJson(path) as TrainingState;
  if (state?.version !== 1 || !Number.isInteger(state.epoch) || !Number.isInteger(state.step)) {
    throw new ConfigError(
      path,
      `expected version 1 of the training state, received ${JSON.stringify(state?.version)}`,
      {
        hint: "Start anew with --no-resume-from-checkpoint and another --save-path",
      },
    );
  }
  for (const [name, value] of Object.entries(settings)) {
    const before = state.settings[name];
    if (JSON.stringify(before) === JSON.stringify(value)) continue;
    throw new ConfigError(
      path,
      `expected ${name} = ${JSON.stringify(before)} as before, received ${JSON.stringify(value)}`,
      {
        hint: "Use the same settings, or start anew with --no-resume-from-checkpoint and another --save-path",
      },
    );
  }
  return state;
}

/** The optimiser's moments of a checkpoint. */
export async function readOptimizer(checkpoint: string): Promise<Map<string, HostTensor>> {
  using file = await openSafetensors(join(checkpoint, OPTIMIZER));
  const found = new Map<string, HostTensor>();
  for (const name of file.names()) found.set(name, await file.read(name));
  return found;
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
