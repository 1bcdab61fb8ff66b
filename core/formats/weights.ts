/**
 * A model's weights, wherever they are: one file or many, safetensors, torch's own format or GGUF.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { FormatError, NotFoundError } from "../errors.ts";
import { openShards } from "./_shards.ts";
import type { GgufOptions } from "./gguf.ts";
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
 * @param path a folder with `model.safetensors`, `pytorch_model.bin`, the index of either, or one `.gguf`; or such a file
 * @param options what widens quantised weights, where there may be some
 * @throws {NotFoundError} when there is nothing of the kind
 * @throws {FormatError} when a file is not what its format says
 *
 * @example
 * ```ts ignore
 * using weights = await openWeights("models/tiny");
 * const embed = await weights.read("model.embed_tokens.weight");
 * ```
 */
export async function openWeights(path: string, options: GgufOptions = {}): Promise<TensorSource> {
  const file = await findWeights(path);
  // Loaded when there is such a file: it brings a library with it.
  if (isGguf(file)) return await (await import("./gguf_weights.ts")).openGgufWeights(file, options);
  return file.endsWith(".json") ? await openShards(file, openSingle) : await openSingle(file);
}

/**
 * The file that {@linkcode openWeights} opens for a path: one of weights, or an index.
 *
 * @throws {NotFoundError} when a folder holds none
 * @throws {FormatError} when it holds several GGUF files
 */
export async function findWeights(path: string): Promise<string> {
  return await isFolder(path) ? await findIn(path) : path;
}

/** Whether a path names a GGUF file. */
export function isGguf(path: string): boolean {
  return path.endsWith(".gguf");
}

/**
 * The GGUF file that is a model by itself: one that is named, or the weights of a folder; with `config.json` beside it
 * it is not, since that says more. `null` for any other model.
 *
 * @throws {FormatError} when the folder holds several and nothing else
 */
export async function soleGguf(path: string): Promise<string | null> {
  const folder = isGguf(path) ? dirname(path) : path;
  if (await exists(join(folder, "config.json"))) return null;
  if (!await isFolder(path)) return isGguf(path) ? path : null;
  const file = await findWeights(path).catch((error) => {
    if (error instanceof NotFoundError) return null;
    throw error;
  });
  return file !== null && isGguf(file) ? file : null;
}

async function openSingle(path: string): Promise<TensorSource> {
  return /\.(bin|pt|pth)$/.test(path) ? await openTorchWeights(path) : await openSafetensors(path);
}

async function findIn(folder: string): Promise<string> {
  for (const name of CANDIDATES) {
    const path = join(folder, name);
    if (await exists(path)) return path;
  }
  const files = await ggufFiles(folder);
  if (files.length > 1) {
    throw new FormatError(folder, `expected one GGUF file in it, received ${files.join(", ")}`, {
      hint: "Name the file itself",
    });
  }
  if (files.length === 1) return join(folder, files[0]!);
  throw new NotFoundError(
    folder,
    `expected one of ${CANDIDATES.join(", ")} or a GGUF file in it, received none`,
    {
      hint: "Name a folder that holds a model's weights, or the file itself",
    },
  );
}

async function ggufFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isGguf(name) && !isDirectory) files.push(name);
  }
  return files.sort();
}

async function isFolder(path: string): Promise<boolean> {
  return await Deno.stat(path).then((info) => info.isDirectory, () => false);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
