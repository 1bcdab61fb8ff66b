/** The folder of a run's checkpoints: which is the newest, which stay, which is the best. */
import { join } from "node:path";
import { WriteError } from "../errors.ts";
import { removeUnfinished } from "../files.ts";

/** Ending of a checkpoint that is being written; a dot goes before its name. */
export const PARTIAL_SUFFIX = ".partial";

/** Ending of one that is being replaced. */
export const OLD_SUFFIX = ".old";

/** Link to the best one, as upstream names it. */
const BEST = "checkpoint_best";

const NAME = /^(\d+)(?:\.(\d+))?$/;

/** Name of a checkpoint after so many batches of an epoch; 0 for all of them. */
export function checkpointName(epoch: number, batches: number): string {
  return batches === 0 ? String(epoch) : `${epoch}.${batches}`;
}

/**
 * The newest checkpoint of a run, or `null` when there is none. Half-written folders do not count.
 *
 * @throws {WriteError} when the name is a file's
 */
export async function latestCheckpoint(folder: string): Promise<string | null> {
  const newest = (await checkpoints(folder)).at(-1);
  return newest === undefined ? null : join(folder, newest);
}

/**
 * Clears up what a run that was killed left: half-written folders and files go, a folder that was about to be replaced
 * comes back.
 *
 * @throws {WriteError} when that fails
 */
export async function recoverCheckpoints(folder: string): Promise<void> {
  await removeUnfinished(folder);
  await guarded(folder, async () => {
    const names = await entries(folder), there = new Set(names.map(({ name }) => name));
    for (const { name } of names) {
      const old = /^\.(\d+(?:\.\d+)?)\.old$/.exec(name)?.[1];
      if (old !== undefined && !there.has(old)) await Deno.rename(join(folder, name), join(folder, old));
      else if (old !== undefined || /^\.\d+(\.\d+)?\.partial$/.test(name)) {
        await Deno.remove(join(folder, name), { recursive: true });
      }
    }
  });
}

/**
 * Moves the checkpoints of an earlier run into a folder beside the new ones, so that starting anew loses nothing.
 *
 * @returns that folder; `null` when there was no checkpoint
 * @throws {WriteError} when that fails
 */
export async function setAside(folder: string): Promise<string | null> {
  const names = await checkpoints(folder);
  if (names.length === 0) return null;
  return await guarded(folder, async () => {
    const taken = new Set((await entries(folder)).map(({ name }) => name));
    let number = 1;
    while (taken.has(`earlier_${number}`)) number++;
    const place = join(folder, `earlier_${number}`);
    await Deno.mkdir(place);
    // The newest goes first: what is left, should this be interrupted, is the start of a run and not its end.
    for (const name of [...names].reverse()) await Deno.rename(join(folder, name), join(place, name));
    if (taken.has(BEST)) await Deno.rename(join(folder, BEST), join(place, BEST));
    return place;
  });
}

/**
 * Points `checkpoint_best` to an epoch, in one step.
 *
 * @returns its path; `null` where links cannot be made
 */
export async function linkBest(folder: string, epoch: number): Promise<string | null> {
  const temporary = join(folder, `.${BEST}.partial`);
  try {
    await Deno.remove(temporary).catch(() => {});
    await Deno.symlink(String(epoch), temporary, { type: "dir" });
    await Deno.rename(temporary, join(folder, BEST));
    return join(folder, BEST);
  } catch {
    return null; // Windows lets only some people make them
  }
}

/**
 * Removes checkpoints that are no longer needed: those within an epoch that a newer one follows, and of whole epochs all
 * but the newest ones and the best.
 *
 * @param options `keep`: how many whole epochs stay; `best`: the epoch that stays in any case
 * @throws {WriteError} when that fails
 */
export async function pruneCheckpoints(
  folder: string,
  options: { readonly keep: number; readonly best: number | null },
): Promise<void> {
  const names = await checkpoints(folder), whole = names.filter((name) => !name.includes("."));
  const kept = new Set([...whole.slice(-options.keep), String(options.best), names.at(-1)]);
  await guarded(folder, async () => {
    for (const name of names) {
      if (kept.has(name)) continue;
      // Under that name, what is left should this be interrupted is not taken for a checkpoint.
      const going = join(folder, `.${name}${PARTIAL_SUFFIX}`);
      await Deno.rename(join(folder, name), going);
      await Deno.remove(going, { recursive: true });
    }
  });
}

/** Names of the checkpoints, oldest first. */
async function checkpoints(folder: string): Promise<string[]> {
  const place = (name: string): [number, number] => {
    const [, epoch, batches] = NAME.exec(name)!;
    return batches === undefined ? [Number(epoch) + 1, 0] : [Number(epoch), Number(batches)];
  };
  return (await entries(folder)).filter((entry) => entry.isDirectory && NAME.test(entry.name))
    .map(({ name }) => ({ name, at: place(name) }))
    .sort((a, b) => a.at[0] - b.at[0] || a.at[1] - b.at[1]).map(({ name }) => name);
}

async function entries(folder: string): Promise<Deno.DirEntry[]> {
  try {
    return await Array.fromAsync(Deno.readDir(folder));
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return [];
    if (cause instanceof Deno.errors.NotADirectory) {
      throw new WriteError(folder, "expected a folder for checkpoints, received a file", { cause });
    }
    throw cause;
  }
}

async function guarded<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof WriteError) throw cause;
    throw new WriteError(
      folder,
      `expected a folder of checkpoints that can be changed, received ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}
