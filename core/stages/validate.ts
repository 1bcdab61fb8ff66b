/** Whether a speculator can be used: by its files alone, and with its verifier. */
import { join } from "node:path";
import { checkConfig, type CommonConfig, readSpeculatorConfig } from "../config/mod.ts";
import { decode } from "../decode/decode.ts";
import { AbortedError, SpeculatorsError } from "../errors.ts";
import type { Stage } from "../events.ts";
import { toUint8 } from "../formats/dtype.ts";
import type { FileSpec, TensorSource } from "../formats/source.ts";
import { openWeights } from "../formats/weights.ts";
import { resolveModel } from "../hub.ts";
import type { DraftAlgorithm, SpeculatorConfig } from "../plugin.ts";
import type { Runtime } from "../runtime.ts";
import { openSpeculator } from "../speculator.ts";
import type { FileDType } from "../tensor.ts";
import { openVerifier } from "../verifier.ts";
import { streamTensor } from "./_convert_stream.ts";

/** What is validated. */
export interface ValidateOptions {
  /** The speculator: a folder or a hub id. */
  readonly path: string;
  /** Its verifier, to run it on; files alone are looked at without one. */
  readonly verifier?: string;
  /** Go by the files alone where the verifier cannot be opened here, and say so. */
  readonly verifierOptional?: boolean;
  /** Tokens decoded on the verifier; 8. */
  readonly tokens?: number;
}

/** What was found. */
export interface ValidateResult {
  /** The speculator. */
  readonly path: string;
  /** What is wrong, a sentence each; empty when it can be used. */
  readonly problems: readonly string[];
  /** What was looked at. */
  readonly checked: readonly string[];
  /** Tokens decoded on the verifier, and how many of them the speculator proposed; `null` without a verifier. */
  readonly decoded: { readonly tokens: number; readonly accepted: number } | null;
}

const FLOATS: readonly FileDType[] = ["f64", "f32", "bf16", "f16"];

/**
 * Looks at a speculator's config, tensors, numbers and vocabulary mapping, at what vLLM would refuse, and decodes a few
 * tokens with it. What is wrong is in the result; nothing is thrown for it.
 */
export async function* validate(options: ValidateOptions, runtime: Runtime): Stage<ValidateResult> {
  const problems: string[] = [], checked: string[] = [];
  let decoded: ValidateResult["decoded"] = null;
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T | null> => {
    if (runtime.signal?.aborted) throw new AbortedError();
    try {
      const result = await work();
      checked.push(what);
      return result;
    } catch (error) {
      if (!(error instanceof SpeculatorsError) || error instanceof AbortedError) throw error;
      problems.push(error.message);
      return null;
    }
  };
  const folder = await resolveModel(options.path);
  const known = await attempt("config", () => readConfig(folder, runtime));
  const source = await attempt("files of weights", () => openWeights(folder));
  if (source) {
    using _ = source;
    const specs = new Map<string, FileSpec>(source.names().map((name) => [name, source.spec(name)]));
    if (known) {
      problems.push(...tensorProblems(known, specs));
      problems.push(...known.algorithm.servingProblems?.(known.config, specs) ?? []);
      checked.push("names and shapes", "what vLLM loads");
    }
    for (const [i, name] of source.names().entries()) {
      await attempt(
        `numbers of ${name}`,
        () => drain(source, { name, spec: specs.get(name)!, where: folder }),
      );
      yield { type: "progress", stage: "validate", done: i + 1, total: specs.size, unit: "tensors" };
    }
    if (specs.has("d2t")) {
      problems.push(...await attempt("vocabulary mapping", () => mappingProblems(source, specs)) ?? []);
    }
  }
  if (known && source && options.verifier !== undefined && problems.length === 0) {
    const refusal = options.verifierOptional ? await whyNot(options.verifier, runtime) : null;
    if (refusal === null) {
      const run = { folder, verifier: options.verifier, tokens: options.tokens ?? 8 };
      decoded = await attempt("decoding on the verifier", () => decodeSome(run, runtime));
    } else {
      const text = `Looked at by its files alone, not run on its verifier: ${refusal}`;
      yield { type: "note", stage: "validate", level: "warning", text };
    }
  }
  return { path: options.path, problems, checked: summary(checked), decoded };
}

interface Known {
  readonly algorithm: DraftAlgorithm;
  readonly config: SpeculatorConfig;
}

async function readConfig(folder: string, runtime: Runtime): Promise<Known> {
  const common: CommonConfig = await readSpeculatorConfig(folder);
  const plugin = await runtime.registry.get("draft", common.speculators_model_type);
  const algorithm = await plugin.load();
  return {
    algorithm,
    config: await checkConfig(algorithm.schema, common, { where: join(folder, "config.json") }),
  };
}

function tensorProblems({ algorithm, config }: Known, specs: ReadonlyMap<string, FileSpec>): string[] {
  const problems: string[] = [], infos = algorithm.tensors(config).filter((info) => info.saved);
  for (const { name, shape, required } of infos) {
    const spec = specs.get(name);
    if (spec === undefined) {
      if (required !== false) problems.push(`The tensor "${name}" [${shape.join(", ")}] is missing`);
    } else if (spec.shape.join() !== shape.join()) {
      problems.push(
        `The tensor "${name}" is [${spec.shape.join(", ")}], and its config makes it [${shape.join(", ")}]`,
      );
    } else if (name !== "d2t" && name !== "t2d" && !FLOATS.includes(spec.dtype)) {
      problems.push(`The tensor "${name}" is ${spec.dtype}, and floats are expected`);
    }
  }
  const names = new Set(algorithm.tensors(config).map(({ name }) => name));
  for (const name of specs.keys()) {
    if (!names.has(name)) problems.push(`The tensor "${name}" is unknown to its config`);
  }
  return problems;
}

/** Reads a tensor through, which refuses numbers that are none. */
async function drain(
  source: TensorSource,
  { name, spec, where }: { readonly name: string; readonly spec: FileSpec; readonly where: string },
): Promise<void> {
  const content = { kind: "copy", tensor: name } as const;
  for await (
    const _ of streamTensor({ name, ...spec, content }, { source, where, verifier: null, infinities: false })
  );
}

async function mappingProblems(
  source: TensorSource,
  specs: ReadonlyMap<string, FileSpec>,
): Promise<string[]> {
  const problems: string[] = [], d2t = await source.read("d2t");
  if (d2t.dtype !== "i64") return [`The tensor "d2t" is ${d2t.dtype}, and i64 is expected`];
  const kept = specs.has("t2d") ? toUint8(await source.read("t2d")) : null, seen = new Set<number>();
  const offsets = new BigInt64Array(d2t.bytes.slice().buffer);
  for (const [i, offset] of offsets.entries()) {
    const id = i + Number(offset);
    if (id < 0 || (kept !== null && id >= kept.length)) {
      problems.push(`"d2t" maps draft id ${i} to ${id}, outside of the vocabulary`);
    } else if (seen.has(id)) problems.push(`"d2t" maps draft id ${i} to ${id}, as another one before it`);
    else if (kept !== null && kept[id] === 0) {
      problems.push(`"d2t" maps draft id ${i} to ${id}, not kept by "t2d"`);
    }
    seen.add(id);
    if (problems.length >= 3) return problems;
  }
  const count = kept?.reduce((sum, bit) => sum + (bit === 0 ? 0 : 1), 0) ?? seen.size;
  if (problems.length === 0 && count !== seen.size) {
    problems.push(`"t2d" keeps ${count} ids, and "d2t" maps to ${seen.size}`);
  }
  return problems;
}

/** Why a verifier cannot be run here; `null` if it can. */
async function whyNot(verifier: string, runtime: Runtime): Promise<string | null> {
  try {
    (await openVerifier(verifier, runtime))[Symbol.dispose]();
    return null;
  } catch (error) {
    if (error instanceof SpeculatorsError) return error.message;
    throw error;
  }
}

async function decodeSome(
  run: { readonly folder: string; readonly verifier: string; readonly tokens: number },
  runtime: Runtime,
): Promise<{ tokens: number; accepted: number }> {
  using verifier = await openVerifier(run.verifier, runtime);
  using backend = await runtime.openBackend();
  using model = await verifier.load(backend, runtime.signal ? { signal: runtime.signal } : {});
  using speculator = await openSpeculator(run.folder, { registry: runtime.registry, verifier, model });
  const { vocabSize } = verifier.info, prompt = Int32Array.from([1, 2, 3, 4], (id) => id % vocabSize);
  const rounds = decode(model, prompt, {
    ops: runtime.ops,
    maxTokens: run.tokens,
    draft: speculator.draft,
    numSpecTokens: speculator.numSpecTokens,
    eosTokenIds: [],
    ...(runtime.signal ? { signal: runtime.signal } : {}),
  });
  let tokens = 0, accepted = 0;
  for await (const round of rounds) {
    tokens += round.tokens.length;
    accepted += round.accepted;
  }
  return { tokens, accepted };
}

/** One line for all tensors that were read through. */
function summary(checked: readonly string[]): string[] {
  const numbers = checked.filter((what) => what.startsWith("numbers of ")).length;
  const others = checked.filter((what) => !what.startsWith("numbers of "));
  return numbers > 0 ? [...others, `numbers of ${numbers} tensors`] : others;
}
