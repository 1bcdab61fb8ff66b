/**
 * A model's weights, wherever they are: one file or many, safetensors or torch's own format.
 *
 * @module
 */
import { join } from "node:path";
import { NotFoundError } from "../errors.ts";
import { openShards } from "./_shards.ts";
import { openSafetensors } from "./safetensors.ts";
import type { TensorSource } from "./source.ts";
import { openTorchWeights } from "./torch.ts";

/** What a folder may hold, in order of preference. */
const CANDIDATES: readonly string[] = [
  "model.safetensors",
  "model.safetensors.index.json",
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
];

/**
 * Opens a model's weights.
 *
 * @param path a folder with `model.safetensors`, `pytorch_model.bin` or the index of either; or such a file
 * @throws {NotFoundError} when there is nothing of the kind
 * @throws {FormatError} when a file is not what its format says
 *
 * @example
 * ```ts ignore
 * using weights = await openWeights("models/tiny");
 * const embed = await weights.read("model.embed_tokens.weight");
 * ```
 */
export async function openWeights(path: string): Promise<TensorSource> {
  const file = await findWeights(path);
  return file.endsWith(".json") ? await openShards(file, openSingle) : await openSingle(file);
}

/**
 * The file that {@linkcode openWeights} opens for a path: one of weights, or an index.
 *
 * @throws {NotFoundError} when a folder holds none
 */
export async function findWeights(path: string): Promise<string> {
  return await isFolder(path) ? await findIn(path) : path;
}

async function openSingle(path: string): Promise<TensorSource> {
  return /\.(bin|pt|pth)$/.test(path) ? await openTorchWeights(path) : await openSafetensors(path);
}

async function findIn(folder: string): Promise<string> {
  for (const name of CANDIDATES) {
    const path = join(folder, name);
    if (await exists(path)) return path;
  }
  throw new NotFoundError(folder, `expected one of ${CANDIDATES.join(", ")} in it, received none`, {
    hint: "Name a folder that holds a model's weights, or the file itself",
  });
}

async function isFolder(path: string): Promise<boolean> {
  return await Deno.stat(path).then((info) => info.isDirectory, () => false);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
