/** What is in a model folder or a tensor file, without loading it. */
import { extname, join } from "node:path";
import { checkConfig, readConfigJson } from "./config/mod.ts";
import { ConfigError, NotFoundError } from "./errors.ts";
import type { FileSpec } from "./formats/source.ts";
import { readNpy } from "./formats/npy.ts";
import { openTorch, TorchTensor, type TorchValue } from "./formats/torch.ts";
import { isGguf, openWeights, soleGguf } from "./formats/weights.ts";
import { resolveModel } from "./hub.ts";
import type { Registry } from "./registry.ts";
import { byteLength, elements, type FileDType, type Shape } from "./tensor.ts";

/** A tensor found. */
export interface FoundTensor {
  /** Its name, or its place in a nested value. */
  readonly name: string;
  /** Its element type, as its file names it. */
  readonly dtype: string;
  /** Its shape. */
  readonly shape: Shape;
  /** Bytes of its data. */
  readonly bytes: number;
}

/** What was found. */
export interface Inspection {
  /** The path. */
  readonly path: string;
  /** A `speculator`, a published `draft` to be converted, a `verifier`, another `model`, or a `file` of tensors. */
  readonly kind: "speculator" | "draft" | "verifier" | "model" | "file";
  /** Plugin that reads it; `null` when none does, or it needs none. */
  readonly plugin: string | null;
  /** Its `config.json`, or what the metadata of a GGUF file stand for. */
  readonly config: Readonly<Record<string, unknown>> | null;
  /** Its tensors. */
  readonly tensors: readonly FoundTensor[];
  /** Elements of all tensors. */
  readonly parameters: number;
  /** Bytes of all tensors. */
  readonly bytes: number;
  /** What vLLM would refuse in a speculator, a sentence each; `null` where it is not known. */
  readonly serving: readonly string[] | null;
}

/**
 * Looks into a path, or a model of the hub.
 *
 * @throws {NotFoundError} when nothing is there
 * @throws {FormatError} when a file is damaged
 */
export async function inspect(
  nameOrPath: string,
  options: { readonly registry: Registry },
): Promise<Inspection> {
  const path = await resolveModel(nameOrPath);
  const info = await Deno.stat(path).catch((cause) => {
    throw new NotFoundError(
      path,
      "expected a model folder or a tensor file, received nothing under that name",
      { cause },
    );
  });
  const gguf = info.isDirectory ? await soleGguf(path) : isGguf(path) ? path : null;
  if (gguf !== null) return await inspectGguf(path, { file: gguf, registry: options.registry });
  if (!info.isDirectory) {
    return summary(path, { kind: "file", plugin: null, config: null }, await tensorsOf(path));
  }
  const config = await readConfigJson(path);
  const type = config["speculators_model_type"];
  const hasWeights = await anyWeights(path), tensors = hasWeights ? await sourceTensors(path) : [];
  if (typeof type === "string") {
    const known = options.registry.list("draft").some((entry) => entry.name === type);
    const found = summary(path, { kind: "speculator", plugin: known ? type : null, config }, tensors);
    return known ? { ...found, serving: await servingProblems(found, type, options.registry) } : found;
  }
  // A published draft's config names its verifier's architecture, so its tensors are asked first.
  const draft = await draftOf(tensors.map(({ name }) => name), options.registry);
  if (draft) return summary(path, { kind: "draft", plugin: draft, config }, tensors);
  const plugin = await options.registry.find("verifier", (plugin) => plugin.matches(config));
  return summary(
    path,
    { kind: plugin ? "verifier" : "model", plugin: plugin?.name ?? null, config },
    tensors,
  );
}

/** The draft plugin that converts a checkpoint with these tensors; `null` when none does. */
async function draftOf(names: readonly string[], registry: Registry): Promise<string | null> {
  for (const { name } of registry.list("draft")) {
    const algorithm = await (await registry.get("draft", name)).load();
    const converters = algorithm.converters?.() ?? [];
    if (converters.some((one) => one.direction === "in" && one.matches?.(names))) return name;
  }
  return null;
}

/** A GGUF file is a model by itself: its metadata stand for a config. */
async function inspectGguf(
  path: string,
  { file, registry }: { readonly file: string; readonly registry: Registry },
): Promise<Inspection> {
  const [{ openGguf }, { ggufArchitecture, ggufConfig }] = await Promise.all([
    import("./formats/gguf.ts"),
    import("./formats/gguf_config.ts"),
  ]);
  using source = await openGguf(file);
  const tensors = [...source.tensors.values()].map(({ name, shape, type, bytes }) => (
    { name, dtype: type.name, shape, bytes }
  ));
  const known = ggufArchitecture(source) !== null, config = known ? await ggufConfig(source) : null;
  const plugin = config && await registry.find("verifier", (plugin) => plugin.matches(config));
  return summary(
    path,
    { kind: plugin ? "verifier" : "model", plugin: plugin?.name ?? null, config },
    tensors,
  );
}

function summary(
  path: string,
  what: Pick<Inspection, "kind" | "plugin" | "config">,
  tensors: readonly FoundTensor[],
): Inspection {
  const parameters = tensors.reduce((sum, { shape }) => sum + elements(shape), 0);
  const bytes = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  return { path, ...what, tensors, parameters, bytes, serving: null };
}

/** What the plugin knows of vLLM's loader. */
async function servingProblems(
  { path, config, tensors }: Inspection,
  type: string,
  registry: Registry,
): Promise<readonly string[] | null> {
  const algorithm = await (await registry.get("draft", type)).load();
  if (!algorithm.servingProblems) return null;
  const specs = new Map<string, FileSpec>(
    tensors.map(({ name, shape, dtype }) => [name, { shape, dtype: dtype as FileDType }]),
  );
  try {
    return algorithm.servingProblems(
      await checkConfig(algorithm.schema, config, { where: `${path}/config.json` }),
      specs,
    );
  } catch (error) {
    if (error instanceof ConfigError) return [error.message];
    throw error;
  }
}

async function anyWeights(folder: string): Promise<boolean> {
  for await (const entry of Deno.readDir(folder)) {
    if (/\.(safetensors|bin|pt|gguf)$/.test(entry.name)) return true;
  }
  return false;
}

async function tensorsOf(path: string): Promise<FoundTensor[]> {
  switch (extname(path)) {
    case ".npy": {
      const tensor = await readNpy(path);
      return [found("array", tensor)];
    }
    case ".pt":
    case ".pth":
    case ".bin": {
      using file = await openTorch(path);
      return [...walk(file.value, "", 0)];
    }
    default:
      return await sourceTensors(path);
  }
}

async function sourceTensors(path: string): Promise<FoundTensor[]> {
  using source = await openWeights(path);
  return source.names().map((name) => found(name, source.spec(name)));
}

/** Tensors of a nested value, each by its place. */
function* walk(value: TorchValue, place: string, depth: number): Generator<FoundTensor> {
  if (value instanceof TorchTensor) {
    const { shape, dtype: { name, itemSize } } = value;
    yield { name: place || "value", dtype: name, shape, bytes: elements(shape) * itemSize };
  } else if (depth > 32) return;
  else if (value instanceof Map) {
    for (const [key, inner] of value) yield* walk(inner, join(place, String(key)), depth + 1);
  } else if (Array.isArray(value)) {
    for (const [i, inner] of value.entries()) yield* walk(inner, join(place, String(i)), depth + 1);
  }
}

function found(name: string, spec: { readonly shape: Shape; readonly dtype: FileDType }): FoundTensor {
  return { name, dtype: spec.dtype, shape: spec.shape, bytes: byteLength(spec) };
}
