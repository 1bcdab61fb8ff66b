/** The folder that a conversion writes: made beside its place, then moved there in one step. */
import { basename, dirname, join, resolve, sep as SEPARATOR } from "node:path";
import { WriteError } from "../errors.ts";
import { writeJsonAtomic } from "../files.ts";
import { writeSafetensors } from "../formats/safetensors.ts";
import { byteLength } from "../tensor.ts";
import type { PlannedTensor } from "../conversion.ts";

/** A folder that is being filled. Without {@linkcode OutputFolder.publish}, disposal removes it. */
export interface OutputFolder extends AsyncDisposable {
  /** Where files go meanwhile. */
  readonly path: string;
  /** Moves it to its place. */
  publish(): Promise<void>;
}

/**
 * Begins a folder. What an earlier run that was killed has left is cleared away; a folder that it was about to replace
 * is put back.
 *
 * @param options `keep`: folders that are read from, which must not be replaced or lie in what is
 * @throws {WriteError} when something is there and must not be replaced, or the folder cannot be made
 */
export async function beginOutput(
  folder: string,
  options: { readonly overwrite: boolean; readonly keep?: readonly string[] },
): Promise<OutputFolder> {
  const final = resolve(folder), parent = dirname(final);
  const partial = join(parent, `.${basename(final)}.partial`),
    old = join(parent, `.${basename(final)}.replaced`);
  return await writing(folder, async () => {
    if (!await isThere(final) && await isThere(old)) await Deno.rename(old, final);
    if (await isThere(final) && !options.overwrite && !await isEmpty(final)) {
      throw new WriteError(folder, "expected a new folder, received one that exists", {
        hint: "Name another folder, or replace this one with --overwrite",
      });
    }
    for (const kept of options.keep ?? []) await refuseOver(folder, kept);
    await remove(partial);
    await Deno.mkdir(partial, { recursive: true });
    let published = false;
    return {
      path: partial,
      publish: () =>
        writing(folder, async () => {
          await remove(old);
          if (await isThere(final)) await Deno.rename(final, old);
          try {
            await Deno.rename(partial, final);
          } catch (cause) {
            await Deno.rename(old, final).catch(() => {});
            throw cause;
          }
          published = true;
          await remove(old);
        }),
      async [Symbol.asyncDispose]() {
        if (!published) await remove(partial).catch(() => {});
      },
    };
  });
}

/** Refuses to replace a folder that is read from. */
async function refuseOver(folder: string, kept: string): Promise<void> {
  const real = (path: string) => Deno.realPath(path).catch(() => null);
  const [ours, theirs] = [await real(folder), await real(kept)];
  if (ours === null || theirs === null || (theirs !== ours && !theirs.startsWith(ours + SEPARATOR))) return;
  throw new WriteError(
    folder,
    `expected another folder than that of "${kept}", received the same or one around it`,
    {
      hint: "Name another folder: this one is read from",
    },
  );
}

/** How weights are laid out in files. */
export interface WriteShardsOptions {
  /** Most bytes of tensors in a file; a larger tensor has one of its own. */
  readonly maxShardSize: number;
  /** A tensor's bytes. */
  readonly chunks: (tensor: PlannedTensor) => AsyncIterable<Uint8Array>;
}

/**
 * Writes `model.safetensors`, or several files and an index where one would be too large, as transformers does.
 *
 * @returns the names of the files
 * @throws {WriteError} when a file cannot be written
 */
export async function writeShards(
  folder: string,
  tensors: readonly PlannedTensor[],
  options: WriteShardsOptions,
): Promise<string[]> {
  const shards: PlannedTensor[][] = [[]];
  let size = 0, total = 0;
  for (const tensor of tensors) {
    const bytes = byteLength(tensor);
    if (size > 0 && size + bytes > options.maxShardSize) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)!.push(tensor);
    size += bytes;
    total += bytes;
  }
  const number = (i: number) => String(i).padStart(5, "0");
  const names = shards.length === 1
    ? ["model.safetensors"]
    : shards.map((_, i) => `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`);
  const weightMap: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const planned = new Map(shard.map((tensor) => [tensor.name, tensor]));
    for (const name of planned.keys()) weightMap[name] = names[i]!;
    await writeSafetensors(join(folder, names[i]!), {
      names: () => [...planned.keys()],
      spec: (name) => planned.get(name)!,
      chunks: (name) => options.chunks(planned.get(name)!),
    }, { metadata: { format: "pt" } });
  }
  if (names.length === 1) return names;
  const index = "model.safetensors.index.json";
  const sorted = Object.fromEntries(Object.entries(weightMap).sort(([a], [b]) => a < b ? -1 : 1));
  await writeJsonAtomic(join(folder, index), { metadata: { total_size: total }, weight_map: sorted });
  return [...names, index];
}

async function writing<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof WriteError) throw cause;
    throw new WriteError(folder, cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

async function isEmpty(path: string): Promise<boolean> {
  if (!(await Deno.stat(path)).isDirectory) return false;
  for await (const _ of Deno.readDir(path)) return false;
  return true;
}

async function remove(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}
