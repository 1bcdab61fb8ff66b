/** What a run trains and validates on: listed, split and checked before anything is computed. */
import { dirname, join, resolve } from "node:path";
import { readDataConfig } from "../data/data_config.ts";
import { readSampleFile } from "../data/make_batch.ts";
import { ConfigError, FormatError } from "../errors.ts";
import { readJson } from "../files.ts";
import type { VerifierInfo } from "../plugin.ts";
import { fileOf, type SampleList } from "./batches.ts";
import type { PreparedDraft } from "./draft_setup.ts";
import { listSamples, type OpenSampleList, splitList, takeStates } from "./samples.ts";
import type { TrainOptions } from "./train_options.ts";

/** The samples of a run. */
export interface TrainData extends Disposable {
  /** Trained on. */
  readonly train: SampleList;
  /** Validated on. */
  readonly validation: SampleList;
  /** SHA-256 of which samples there are, how long they are and which of them are held out. */
  readonly digest: string;
  /** Files that are too damaged to be listed. */
  readonly bad: readonly string[];
}

/**
 * Lists and splits the samples.
 *
 * @throws {NotFoundError} when a folder is not there or has none
 * @throws {ConfigError} when there are none to train or to validate on
 */
export async function openTrainData(options: TrainOptions, ratio: number): Promise<TrainData> {
  const { dataPath, valDataPath, maxBadSamples = 0 } = options;
  const lists: OpenSampleList[] = [], bad: string[] = [];
  const dispose = () => lists.forEach((list) => list[Symbol.dispose]());
  const open = async (folders: readonly string[]) => {
    const list = await listSamples(folders, { skipDamaged: maxBadSamples > 0 });
    lists.push(list);
    bad.push(...list.damaged);
    return list;
  };
  try {
    const all = await open(dataPath);
    const { train, validation } = valDataPath
      ? { train: all, validation: await open(valDataPath) }
      : splitList(all, ratio);
    if (bad.length > maxBadSamples) throw tooManyBad(bad, maxBadSamples);
    const where = dataPath.join(", "),
      hint = "Make more samples with the command datagen, or give --val-data-path";
    if (train.items.length === 0) {
      throw new ConfigError(
        where,
        `expected samples to train on, received ${all.items.length} to validate on`,
        { hint },
      );
    }
    if (validation.items.length === 0 && ratio < 1) {
      throw new ConfigError(
        where,
        `expected samples to validate on, received ${all.items.length} to train on`,
        {
          hint: `${hint}; with --train-data-ratio 1 there is no validation`,
        },
      );
    }
    return { train, validation, digest: await digestOf([train, validation]), bad, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** More corrupt samples than may be. */
export function tooManyBad(files: readonly string[], most: number, cause?: unknown): FormatError {
  const reason = cause instanceof Error ? `; the last one: ${cause.message}` : "";
  return new FormatError(
    files.at(-1)!,
    `expected at most ${most} corrupt samples, received ${files.length}: ${
      files.slice(0, 5).join(", ")
    }${reason}`,
    { hint: "Make these samples anew, or allow more of them with --max-bad-samples", cause },
  );
}

/** The same samples with the states that a draft reads, of its verifier as far as that can be told. */
export async function fitTrainData(
  data: TrainData,
  draft: PreparedDraft,
  verifierFolder: string,
): Promise<
  { readonly train: SampleList; readonly validation: SampleList; readonly warnings: readonly string[] }
> {
  const take = (list: SampleList) => takeStates(list, draft.needs, draft.verifier.layers);
  const [train, validation] = [await take(data.train), await take(data.validation)];
  const warnings: string[] = [], seen = new Set<string>();
  for (const list of [train, validation]) {
    for (const item of list.items) {
      const folder = dirname(item.store.path(item.index));
      if (seen.has(folder)) continue;
      seen.add(folder);
      const warning = await otherVerifier(folder, draft.verifier, verifierFolder);
      if (warning) warnings.push(warning);
      const config = await readDataConfig(folder);
      if (config?.countedLeaving) {
        warnings.push(
          `the samples in ${folder} are of an older kind that counts what leaves a layer: ` +
            `their states are taken for ${config.layers.join(", ")}, one higher than its file says`,
        );
      }
      await checkWidths(draft, item).catch((error) => {
        // A corrupt file is counted when it is its turn.
        if (!(error instanceof FormatError)) throw error;
      });
    }
  }
  return { train, validation, warnings };
}

/** A folder's first sample must hold what the draft reads, or every later message would be about shapes. */
async function checkWidths(draft: PreparedDraft, first: SampleList["items"][number]): Promise<void> {
  const { hidden } = await readSampleFile(fileOf(first));
  const wanted = draft.needs.layers.length + (draft.needs.last ? 1 : 0), width = draft.verifier.hiddenSize;
  if (hidden.length === wanted && hidden.every((layer) => layer.shape[1] === width)) return;
  throw new ConfigError(
    first.store.path(first.index),
    `expected ${wanted} layers of width ${width}, received ${hidden.length} layers of width ${
      hidden[0]?.shape[1]
    }`,
    { hint: "Make the samples with datagen for this verifier and the same --layer-ids" },
  );
}

/**
 * Whether a folder says that it is of another verifier.
 *
 * @returns a warning when only the names differ
 * @throws {ConfigError} when the sizes differ, or the verifier it names is there and is another model
 */
async function otherVerifier(folder: string, verifier: VerifierInfo, path: string): Promise<string | null> {
  const config = await readDataConfig(folder);
  if (!config) return null;
  const { targetModelPath, hiddenSize } = config, hint = "Make the samples with datagen for this verifier";
  if (hiddenSize !== verifier.hiddenSize) {
    throw new ConfigError(
      folder,
      `expected states of width ${verifier.hiddenSize}, received ${hiddenSize}, of ${targetModelPath}`,
      { hint },
    );
  }
  if (resolve(targetModelPath) === resolve(path)) return null;
  const [theirs, ours] = await Promise.all([configOf(targetModelPath), configOf(path)]);
  if (theirs !== null && ours !== null) {
    if (theirs === ours) return null;
    throw new ConfigError(folder, `expected samples of ${path}, received those of ${targetModelPath}`, {
      hint,
    });
  }
  const [name, other] = [lastPart(path), lastPart(targetModelPath)];
  return name === other
    ? null
    : `the samples in ${folder} were made by ${targetModelPath}, the verifier is ${path}`;
}

async function configOf(folder: string): Promise<string | null> {
  const value = await readJson(join(folder, "config.json")).catch(() => null);
  return value === null ? null : JSON.stringify(value);
}

function lastPart(path: string): string {
  return path.split(/[\\/]/).filter((part) => part !== "").at(-1) ?? path;
}

async function digestOf(lists: readonly SampleList[]): Promise<string> {
  const text = lists.map(({ items, lengths }) =>
    items.map(({ index }, i) => `${index}:${lengths[i]}`).join(" ")
  );
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text.join("\n")));
  return new Uint8Array(bytes).toHex();
}
