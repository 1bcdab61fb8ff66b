/**
 * Sampled texts, written with a draft and many at once, follow the verifier's own distribution: Pearson's test over the
 * embedded verifier, beside probabilities worked out here from its log-probabilities.
 */
import assert from "node:assert/strict";
import { PythonRandom } from "../core/data/random.ts";
import { openEngine } from "../core/serve/open.ts";
import { createRuntime, type Sampling, type Scheduler } from "../mod.ts";
import { SPECULATOR, VERIFIER } from "./cli.ts";

const TEXTS = 600, MOST_FIRST = 6, LEAST_EXPECTED = 5;

type Distribution = ReadonlyMap<number, number>;

/** All log-probabilities of the token after a prefix. */
async function logprobs(scheduler: Scheduler, prefix: readonly number[]): Promise<Distribution> {
  const prompt = Int32Array.from(prefix);
  for await (const round of scheduler.submit({ prompt, maxTokens: 1, logprobs: 2048, numSpecTokens: 0 })) {
    return new Map(round.logprobs![0]!.top.map(({ token, logprob }) => [token, logprob]));
  }
  throw new Error("There was no round");
}

/** Temperature, then top-k, then top-p, as they are defined. */
function shaped(all: Distribution, { temperature, topK = 0, topP = 1 }: Sampling): Distribution {
  const normal = (entries: readonly (readonly [number, number])[]) => {
    const sum = entries.reduce((total, [, p]) => total + p, 0);
    return entries.map(([token, p]) => [token, p / sum] as const);
  };
  let kept = normal([...all].map(([token, logprob]) => [token, Math.exp(logprob / temperature)] as const));
  kept.sort(([, a], [, b]) => b - a);
  if (topK > 0) kept = normal(kept.slice(0, topK));
  let mass = 0;
  if (topP < 1) kept = normal(kept.filter(([, p]) => (mass += p) - p < topP));
  return new Map(kept);
}

/** How likely the first two tokens are together: those whose count can be expected to be large enough, and all others. */
async function expectedPairs(
  scheduler: Scheduler,
  prompt: readonly number[],
  sampling: Sampling,
): Promise<Map<string, number>> {
  const first = [...shaped(await logprobs(scheduler, prompt), sampling)].slice(0, MOST_FIRST);
  const found = new Map<string, number>();
  let rest = 1;
  for (const [a, p] of first) {
    for (const [b, q] of shaped(await logprobs(scheduler, [...prompt, a]), sampling)) {
      if (p * q * TEXTS < LEAST_EXPECTED) continue;
      found.set(`${a},${b}`, p * q);
      rest -= p * q;
    }
  }
  if (rest > 1e-9) found.set("others", rest);
  return found;
}

/** The first two tokens of many texts. */
async function writtenPairs(
  scheduler: Scheduler,
  prompt: readonly number[],
  sampling: Sampling,
): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  const write = async (seed: number) => {
    const random = new PythonRandom(seed), tokens: number[] = [];
    const request = {
      prompt: Int32Array.from(prompt),
      maxTokens: 2,
      eosTokenIds: [],
      sampling,
      uniform: () => random.float(),
    };
    for await (const round of scheduler.submit(request)) tokens.push(...round.tokens);
    const pair = `${tokens[0]},${tokens[1]}`;
    counts.set(pair, (counts.get(pair) ?? 0) + 1);
  };
  await Promise.all(Array.from({ length: TEXTS }, (_, i) => write(i)));
  return counts;
}

/** Pearson's statistic beside what it exceeds once in ten thousand (Wilson and Hilferty 1931). */
function pearson(
  counts: ReadonlyMap<string, number>,
  expected: ReadonlyMap<string, number>,
): { x: number; limit: number } {
  const observed = new Map([...expected.keys()].map((key) => [key, 0]));
  for (const [pair, n] of counts) {
    const bin = observed.has(pair) ? pair : "others";
    observed.set(bin, (observed.get(bin) ?? 0) + n);
  }
  let x = 0;
  for (const [bin, n] of observed) {
    const mean = TEXTS * (expected.get(bin) ?? 0);
    x += mean === 0 ? (n === 0 ? 0 : Infinity) : (n - mean) ** 2 / mean;
  }
  const freedom = Math.max(1, expected.size - 1), spread = 2 / (9 * freedom);
  return { x, limit: freedom * (1 - spread + 3.72 * Math.sqrt(spread)) ** 3 };
}

for (
  const sampling of [
    { temperature: 0.7 },
    { temperature: 1.1, topK: 5 },
    { temperature: 0.9, topP: 0.5 },
    { temperature: 1.3, topK: 8, topP: 0.8 },
  ] as readonly Sampling[]
) {
  const name = Object.entries(sampling).map(([key, value]) => `${key} ${value}`).join(", ");
  Deno.test(`texts sampled with a draft at ${name} follow the verifier's distribution`, async () => {
    const runtime = await createRuntime({ device: "wasm" });
    using open = await openEngine({
      verifierNameOrPath: VERIFIER,
      speculator: SPECULATOR,
      maxSequences: 32,
      maxQueue: TEXTS,
    }, runtime);
    const { scheduler, text } = open.engine;
    try {
      const prompt = [...text.encode("O").ids];
      const expected = await expectedPairs(scheduler, prompt, sampling),
        counts = await writtenPairs(scheduler, prompt, sampling);
      const { x, limit } = pearson(counts, expected);
      assert.ok(expected.size > 5, `${expected.size} bins`);
      assert.ok(x < limit, `${x} is above ${limit}`);
      assert.ok(scheduler.stats().acceptance.accepted > TEXTS / 10, "hardly anything was accepted");
      // The test can tell: texts of another temperature do not pass.
      const other = { ...sampling, temperature: 0.7 * sampling.temperature };
      const wrong = pearson(counts, await expectedPairs(scheduler, prompt, other));
      assert.ok(wrong.x > wrong.limit, `${wrong.x} is below ${wrong.limit}`);
    } finally {
      await scheduler.close();
    }
  });
}
