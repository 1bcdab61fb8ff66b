/**
 * How good a speculator is on prompts: acceptance, speed with and without it, and whether the text stays the same.
 *
 * @module
 */
import { readPrompts } from "../data/prompts.ts";
import { Rejections } from "../data/rejections.ts";
import { Acceptance, type AcceptanceRates } from "../decode/acceptance.ts";
import { decode, type DecodeOptions } from "../decode/decode.ts";
import { drafting, type DraftingOptions, proposing } from "../decode/drafting.ts";
import { PythonRandom } from "../data/random.ts";
import { NotFoundError } from "../errors.ts";
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
  /** Conversations; the prompt is the first user turn of each. */
  readonly data: readonly string[];
  /** Most tokens written for a prompt; 64. */
  readonly maxTokens?: number;
  /** 0 is greedy; 0 when absent. */
  readonly temperature?: number;
  /** Share of the mass that is sampled from; 1. */
  readonly topP?: number;
  /** How many tokens are sampled from; 0 is all. */
  readonly topK?: number;
  /** Seed of sampling; 0. */
  readonly seed?: number;
  /** Most prompts. */
  readonly limit?: number;
}

/** What an evaluation finds. */
export interface EvaluateResult extends AcceptanceRates {
  /** Whether every text is token for token that of the verifier alone; `null` when sampling, where texts differ. */
  readonly identical: boolean | null;
  /** Tokens a second after a prompt's first token, over all prompts: the prompt's own pass is left out. */
  readonly tokens_per_second: { readonly plain: number; readonly speculative: number };
  /** Prompts. */
  readonly prompts: number;
  /** Token ids written for each prompt. */
  readonly outputs: number[][];
}

/** A text and the time it took after its first token. */
interface Timed {
  readonly tokens: number[];
  readonly seconds: number;
}

/**
 * Evaluates a speculator. Each prompt is decoded without and with it, one after the other, so that a machine that is
 * busy for a while slows both.
 *
 * @throws {NotFoundError} when a file or a model is not there, or there is no prompt
 * @throws {ConfigError} when the speculator does not fit the verifier
 */
export async function* evaluate(options: EvaluateOptions, runtime: Runtime): Stage<EvaluateResult> {
  const { maxTokens = 64, temperature = 0, limit = Infinity } = options;
  using verifier = await openVerifier(options.base, runtime);
  const text = await loadTextModel(verifier.folder);
  const rejections = new Rejections(), prompts = await readPrompts(options.data, { text, limit, rejections });
  const rejected = Object.values(rejections.counts()).reduce((a, b) => a + b, 0);
  if (prompts.length === 0) {
    const found = rejected === 0 ? "none" : `${rejected} records that are none: ${rejections.summary()}`;
    throw new NotFoundError(
      options.data.join(", "),
      `expected conversations with a user turn, received ${found}`,
      { hint: 'Give a conversation a line, as {"messages": [{"role": "user", "content": "…"}]}' },
    );
  }
  for (const text of rejections.sentences(prompts.length + rejected)) {
    yield { type: "note", stage: "evaluate", level: "warning", text };
  }
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
  const random = new PythonRandom(options.seed ?? 0);
  const plainOptions: DecodeOptions = {
    ops: runtime.ops,
    maxTokens,
    sampling,
    uniform: () => random.float(),
    ...drafting(options, null),
    ...(runtime.signal ? { signal: runtime.signal } : {}),
  };
  const draftOptions = {
    ...plainOptions,
    ...drafting(options, speculator),
  };
  const warm = { ...plainOptions, maxTokens: Math.min(maxTokens, 8) }; // compiles kernels, fills caches
  await write(model, prompts[0]!, warm);
  await write(model, prompts[0]!, { ...draftOptions, maxTokens: warm.maxTokens });

  const acceptance = new Acceptance(), outputs: number[][] = [];
  const sums = { plain: { tokens: 0, seconds: 0 }, speculative: { tokens: 0, seconds: 0 } };
  let identical = true;
  for (const [i, prompt] of prompts.entries()) {
    const plain = await write(model, prompt, plainOptions);
    const speculative = await write(model, prompt, draftOptions, acceptance);
    for (
      const [name, found] of Object.entries({ plain, speculative }) as ["plain" | "speculative", Timed][]
    ) {
      sums[name].tokens += Math.max(0, found.tokens.length - 1);
      sums[name].seconds += found.seconds;
    }
    identical &&= plain.tokens.join() === speculative.tokens.join();
    outputs.push(speculative.tokens);
    yield {
      type: "progress",
      stage: "evaluate",
      done: i + 1,
      total: prompts.length,
      unit: "prompts",
      detail: `mean accepted length ${acceptance.rates().mean_accepted_length.toFixed(2)}`,
    };
  }
  const speed = ({ tokens, seconds }: { tokens: number; seconds: number }) =>
    seconds > 0 ? tokens / seconds : 0;
  return {
    ...acceptance.rates(),
    identical: temperature === 0 ? identical : null,
    tokens_per_second: { plain: speed(sums.plain), speculative: speed(sums.speculative) },
    prompts: prompts.length,
    outputs,
  };
}

async function write(
  model: VerifierModel,
  prompt: Int32Array,
  options: DecodeOptions,
  acceptance?: Acceptance,
): Promise<Timed> {
  const tokens: number[] = [];
  let start = 0;
  for await (const round of decode(model, prompt, options)) {
    if (tokens.length === 0) start = performance.now();
    acceptance?.count(round);
    tokens.push(...round.tokens);
  }
  return { tokens, seconds: (performance.now() - start) / 1000 };
}
