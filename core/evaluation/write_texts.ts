/** Texts written for measuring: one by one, or several at once. */
import { decode } from "../decode/decode.ts";
import type { Acceptance } from "../decode/acceptance.ts";
import type { DecodeOptions, DecodeRound } from "../decode/options.ts";
import { Scheduler } from "../decode/scheduler.ts";
import type { VerifierModel } from "../plugin.ts";
import { inFlight } from "../slots.ts";
import type { TimedText } from "./figures.ts";

/** A text and how long it took. */
export interface WrittenText {
  /** Its tokens. */
  readonly tokens: number[];
  /** Its times. */
  readonly timed: TimedText;
}

/** Writes one text. */
export async function writeText(
  model: VerifierModel,
  prompt: Int32Array,
  options: DecodeOptions & { readonly acceptance?: Acceptance },
): Promise<WrittenText> {
  return await collect(decode(model, prompt, options), options.acceptance);
}

/**
 * Writes texts, as many at once as said: their tokens are those of {@linkcode writeText}.
 *
 * @returns the texts in the order of their prompts, and the milliseconds of all together
 */
export async function writeTogether(
  model: VerifierModel,
  prompts: readonly Int32Array[],
  options: {
    readonly concurrency: number;
    /** How the text of a prompt is written; loop options are those of the first one. */
    readonly optionsOf: (index: number) => DecodeOptions;
    readonly acceptance?: Acceptance;
  },
): Promise<{ readonly texts: WrittenText[]; readonly milliseconds: number }> {
  const { concurrency, optionsOf, acceptance } = options, texts: WrittenText[] = [];
  const { signal, ...loop } = optionsOf(0);
  await using scheduler = new Scheduler(model, { ...loop, maxSequences: concurrency });
  const begun = performance.now();
  const work = async (index: number) => {
    const request = { ...optionsOf(index), prompt: prompts[index]!, ...(signal ? { signal } : {}) };
    texts[index] = await collect(scheduler.submit(request), acceptance);
  };
  for await (const _ of inFlight(prompts.keys(), { limit: concurrency, work }));
  return { texts, milliseconds: performance.now() - begun };
}

async function collect(rounds: AsyncIterable<DecodeRound>, acceptance?: Acceptance): Promise<WrittenText> {
  const tokens: number[] = [], begun = performance.now();
  let first: number | null = null;
  for await (const round of rounds) {
    first ??= performance.now();
    acceptance?.count(round);
    tokens.push(...round.tokens);
  }
  const totalMs = performance.now() - begun;
  return {
    tokens,
    timed: { tokens: tokens.length, firstMs: first === null ? totalMs : first - begun, totalMs },
  };
}
