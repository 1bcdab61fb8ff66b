/**
 * How good a speculator is on prompts: acceptance, speed with and without it, and whether the text stays the same.
 *
 * @module
 */
import { readPrompts } from "../data/prompts.ts";
import { PythonRandom } from "../data/random.ts";
import { Rejections } from "../data/rejections.ts";
import type { DecodeOptions } from "../decode/decode.ts";
import { drafting, type DraftingOptions, proposing } from "../decode/drafting.ts";
import { NotFoundError } from "../errors.ts";
import { findDataSets } from "../evaluation/data_sets.ts";
import { type EvaluationFigures, Tally } from "../evaluation/figures.ts";
import type { DataSetFigures } from "../evaluation/results.ts";
import { writeText, writeTogether, type WrittenText } from "../evaluation/write_texts.ts";
import type { Stage } from "../events.ts";
import type { VerifierModel } from "../plugin.ts";
import type { Runtime } from "../runtime.ts";
import { openSpeculator } from "../speculator.ts";
import { loadTextModel } from "../text/mod.ts";
import { openVerifier } from "../verifier.ts";

/** What is evaluated, and on what. */
export interface EvaluateOptions extends DraftingOptions {
  /** Folder of the verifier. */
  readonly base: string;
  /** Folder of the speculator. */
  readonly speculator: string;
  /** Data sets as `findDataSets` takes them, each measured on its own; the prompt is the first user turn of a record. */
  readonly data: readonly string[];
  /** Most tokens written for a prompt; 64. */
  readonly maxTokens?: number;
  /** 0 is greedy; 0 when absent. */
  readonly temperature?: number;
  /** Share of the mass that is sampled from; 1. */
  readonly topP?: number;
  /** How many tokens are sampled from; 0 is all. */
  readonly topK?: number;
  /** Seed of sampling; 0. Text i of a data set is sampled by the numbers of seed + i. */
  readonly seed?: number;
  /** Most prompts of a data set. */
  readonly limit?: number;
  /** Texts written at once; 1. The texts do not depend on it. */
  readonly concurrency?: number;
}

/** What an evaluation finds: figures of all data sets together, and of each. */
export interface EvaluateResult extends EvaluationFigures {
  /** Tokens a second, measured both without and with the draft. */
  readonly tokens_per_second: { readonly plain: number; readonly speculative: number };
  /** Whether every text is token for token that of the verifier alone, when sampling too: by the same numbers. */
  readonly identical: boolean;
  /** Each data set's. */
  readonly data_sets: readonly DataSetFigures[];
  /** Token ids written for each prompt. */
  readonly outputs: number[][];
}

/** How texts are written, with the draft or without. */
type OptionsOf = (index: number, withDraft: boolean) => DecodeOptions;

/**
 * Evaluates a speculator. Each prompt is decoded without and with it, one after the other, so that a machine that is
 * busy for a while slows both; where several are written at once, each data set is.
 *
 * @throws {NotFoundError} when a file or a model is not there, or there is no prompt
 * @throws {ConfigError} when the speculator does not fit the verifier
 */
export async function* evaluate(options: EvaluateOptions, runtime: Runtime): Stage<EvaluateResult> {
  const { maxTokens = 64, temperature = 0, concurrency = 1, seed = 0 } = options;
  using verifier = await openVerifier(options.base, runtime);
  const sets = yield* readSets(options, verifier.folder, runtime.signal);
  using backend = await runtime.openBackend();
  using model = await verifier.load(backend, runtime.signal ? { signal: runtime.signal } : {});
  using speculator = await openSpeculator(options.speculator, {
    registry: runtime.registry,
    verifier,
    model,
    ...proposing(options),
  });
  if (speculator.doubt) yield { type: "note", stage: "evaluate", level: "warning", text: speculator.doubt };
  const sampling = {
    temperature,
    ...(options.topP === undefined ? {} : { topP: options.topP }),
    ...(options.topK === undefined ? {} : { topK: options.topK }),
  };
  const optionsOf: OptionsOf = (index, withDraft) => {
    const random = new PythonRandom(seed + index);
    return {
      ops: runtime.ops,
      maxTokens,
      sampling,
      uniform: () => random.float(),
      ...drafting(options, withDraft ? speculator : null),
      ...(runtime.signal ? { signal: runtime.signal } : {}),
    };
  };
  const few = sets[0]!.prompts.slice(0, concurrency);
  for (const withDraft of [false, true]) { // compiles kernels, fills caches
    const warm = (i: number) => ({ ...optionsOf(i, withDraft), maxTokens: Math.min(maxTokens, 8) });
    if (concurrency === 1) await writeText(model, few[0]!, warm(0));
    else await writeTogether(model, few, { concurrency, optionsOf: warm });
  }

  const all = new Tally(), outputs: number[][] = [], found: DataSetFigures[] = [];
  const total = sets.reduce((sum, { prompts }) => sum + prompts.length, 0);
  let identical = true;
  for (const { name, prompts } of sets) {
    const tally = new Tally(), before = outputs.length;
    for (const prompt of prompts) tally.prompt(prompt.length);
    for await (const { plain, speculative } of pairs(model, prompts, { concurrency, optionsOf, tally })) {
      tally.text("plain", plain.timed);
      tally.text("speculative", speculative.timed);
      identical &&= plain.tokens.join() === speculative.tokens.join();
      outputs.push(speculative.tokens);
      if (concurrency > 1 && outputs.length < before + prompts.length) continue;
      const accepted = tally.acceptance.rates().mean_accepted_length.toFixed(2);
      yield {
        type: "progress",
        stage: "evaluate",
        done: outputs.length,
        total,
        unit: "prompts",
        detail: `mean accepted length ${accepted}${sets.length > 1 ? ` on ${name}` : ""}`,
      };
    }
    found.push({ name, ...tally.figures() });
    all.add(tally);
  }
  const figures = all.figures(), { plain, speculative } = figures.tokens_per_second;
  return {
    ...figures,
    tokens_per_second: { plain: plain ?? 0, speculative: speculative ?? 0 },
    identical,
    data_sets: found,
    outputs,
  };
}

/** Prompts of each data set. */
async function* readSets(
  options: EvaluateOptions,
  folder: string,
  signal: AbortSignal | undefined,
): Stage<{ readonly name: string; readonly prompts: Int32Array[] }[]> {
  const text = await loadTextModel(folder), { limit = Infinity } = options;
  const found: { name: string; prompts: Int32Array[] }[] = [];
  for (const { name, paths } of await findDataSets(options.data, signal ? { signal } : {})) {
    const rejections = new Rejections(), prompts = await readPrompts(paths, { text, limit, rejections });
    const rejected = Object.values(rejections.counts()).reduce((a, b) => a + b, 0);
    if (prompts.length === 0) throw noPrompts(paths, rejected === 0 ? null : { rejected, rejections });
    for (const text of rejections.sentences(prompts.length + rejected)) {
      yield { type: "note", stage: "evaluate", level: "warning", text };
    }
    found.push({ name, prompts });
  }
  return found;
}

/** The error of a data set without a prompt. */
export function noPrompts(
  paths: readonly string[],
  left: { readonly rejected: number; readonly rejections: Rejections } | null,
): NotFoundError {
  const found = left === null
    ? "none"
    : `${left.rejected} records that are none: ${left.rejections.summary()}`;
  return new NotFoundError(
    paths.join(", "),
    `expected conversations with a user turn, received ${found}`,
    { hint: 'Give a conversation a line, as {"messages": [{"role": "user", "content": "…"}]}' },
  );
}

/** The text of each prompt without and with the draft. */
async function* pairs(
  model: VerifierModel,
  prompts: readonly Int32Array[],
  { concurrency, optionsOf, tally }: {
    readonly concurrency: number;
    readonly optionsOf: OptionsOf;
    readonly tally: Tally;
  },
): AsyncGenerator<{ readonly plain: WrittenText; readonly speculative: WrittenText }, void, void> {
  const { acceptance } = tally;
  if (concurrency === 1) {
    for (const [i, prompt] of prompts.entries()) {
      const plain = await writeText(model, prompt, optionsOf(i, false));
      yield { plain, speculative: await writeText(model, prompt, { ...optionsOf(i, true), acceptance }) };
    }
    return;
  }
  const plain = await writeTogether(model, prompts, { concurrency, optionsOf: (i) => optionsOf(i, false) });
  const speculative = await writeTogether(model, prompts, {
    concurrency,
    optionsOf: (i) => optionsOf(i, true),
    acceptance,
  });
  tally.wall("plain", plain.milliseconds);
  tally.wall("speculative", speculative.milliseconds);
  for (const i of prompts.keys()) yield { plain: plain.texts[i]!, speculative: speculative.texts[i]! };
}
