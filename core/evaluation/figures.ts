/**
 * The figures of an evaluation, and how they come about: counts of rounds, and the times of texts.
 *
 * @module
 */
import { Acceptance, type AcceptanceRates } from "../decode/acceptance.ts";
import type { AcceptanceCounts } from "../plugin.ts";
import { type Percentiles, percentiles } from "../load/summary.ts";

/** Some number without the draft and with it; `null` where it was not measured. */
export interface Compared<T> {
  /** The verifier alone. */
  readonly plain: T | null;
  /** With the draft. */
  readonly speculative: T | null;
}

/**
 * Figures of a data set, or of all.
 *
 * Acceptance is weighted by rounds: position i's rate is the number of rounds that accepted it over the number of rounds.
 * That is what upstream's `evaluate.py` computes from a server's counters, and, where all rounds propose the same number of
 * tokens, what its `parse_logs.py` computes from lines weighted by drafted tokens. The conditional rate of position i is its
 * rate over that of position i − 1 (1 before the first); 0 where nothing got that far.
 */
export interface EvaluationFigures extends AcceptanceRates {
  /** Prompts. */
  readonly prompts: number;
  /** Tokens of the prompts. */
  readonly prompt_tokens: number;
  /** Tokens written with the draft. */
  readonly output_tokens: number;
  /** Rounds that accepted each position. */
  readonly accepted_per_position: number[];
  /**
   * Tokens a second. Texts one by one: those after each text's first, over the time after it, so that the prompt's own
   * pass is left out. Several at once: all tokens over the time of all.
   */
  readonly tokens_per_second: Compared<number>;
  /** Tokens a second with the draft over those without it. */
  readonly speed_up: number | null;
  /** Of each text: milliseconds a token after the first. */
  readonly time_per_token_ms: Compared<Percentiles>;
  /** Of each text: milliseconds until its first token. */
  readonly time_to_first_token_ms: Compared<Percentiles>;
  /** Of each text: milliseconds in all. */
  readonly latency_ms: Compared<Percentiles>;
}

/** How long a text took. */
export interface TimedText {
  /** Tokens written. */
  readonly tokens: number;
  /** Milliseconds until the first of them. */
  readonly firstMs: number;
  /** Milliseconds until the last. */
  readonly totalMs: number;
}

/** Which of the two. */
export type Side = "plain" | "speculative";

/** Takes texts and rounds, gives figures. */
export class Tally {
  /** Rounds as they are decoded here. */
  readonly acceptance: Acceptance = new Acceptance();
  readonly #texts: Record<Side, TimedText[]> = { plain: [], speculative: [] };
  readonly #wallMs: Record<Side, number | null> = { plain: null, speculative: null };
  #counted: AcceptanceCounts | null = null;
  #promptTokens = 0;

  /** Takes the length of a prompt. */
  prompt(tokens: number): void {
    this.#promptTokens += tokens;
  }

  /** Takes a text. */
  text(side: Side, text: TimedText): void {
    this.#texts[side].push(text);
  }

  /** Takes the time of texts that were written at once: speed is then that of all together. */
  wall(side: Side, milliseconds: number): void {
    this.#wallMs[side] = (this.#wallMs[side] ?? 0) + milliseconds;
  }

  /** Takes a server's counts, which stand instead of own rounds. */
  counts(counts: AcceptanceCounts): void {
    this.#counted = this.#counted ? addCounts(this.#counted, counts) : counts;
  }

  /** Takes what another one has. */
  add(other: Tally): void {
    for (const side of ["plain", "speculative"] as const) {
      this.#texts[side].push(...other.#texts[side]);
      const wall = other.#wallMs[side];
      if (wall !== null) this.wall(side, wall);
    }
    this.counts(other.#counts());
    this.#promptTokens += other.#promptTokens;
  }

  /** The figures so far. */
  figures(): EvaluationFigures {
    const counts = this.#counts(),
      of = <T>(side: (side: Side) => T | null): Compared<T> => ({
        plain: side("plain"),
        speculative: side("speculative"),
      });
    const times = (ms: (text: TimedText) => number | null) =>
      of((side) => {
        const found = this.#texts[side].map(ms).filter((value) => value !== null);
        return found.length === 0 ? null : percentiles(found);
      });
    const speed = of((side) => this.#speed(side));
    const written = this.#texts[this.#texts.speculative.length > 0 ? "speculative" : "plain"];
    return {
      ...ratesOf(counts),
      prompts: written.length,
      prompt_tokens: this.#promptTokens,
      output_tokens: written.reduce((sum, { tokens }) => sum + tokens, 0),
      accepted_per_position: [...counts.perPosition],
      tokens_per_second: speed,
      speed_up: speed.plain && speed.speculative !== null ? speed.speculative / speed.plain : null,
      time_per_token_ms: times(({ tokens, firstMs, totalMs }) =>
        tokens < 2 ? null : (totalMs - firstMs) / (tokens - 1)
      ),
      time_to_first_token_ms: times(({ tokens, firstMs }) => tokens === 0 ? null : firstMs),
      latency_ms: times(({ totalMs }) => totalMs),
    };
  }

  #counts(): AcceptanceCounts {
    if (this.#counted) return this.#counted;
    const { rounds, drafted, accepted } = this.acceptance.rates();
    return { rounds, drafted, accepted, perPosition: this.acceptance.perPosition() };
  }

  #speed(side: Side): number | null {
    const texts = this.#texts[side], wall = this.#wallMs[side];
    if (texts.length === 0) return null;
    const tokens = texts.reduce(
      (sum, { tokens }) => sum + (wall === null ? Math.max(0, tokens - 1) : tokens),
      0,
    );
    const ms = wall ?? texts.reduce((sum, { firstMs, totalMs }) => sum + totalMs - firstMs, 0);
    return ms > 0 ? 1000 * tokens / ms : 0;
  }
}

/** The sum of two counts, or with `sign` −1 what the second one lacks of the first. */
export function addCounts(a: AcceptanceCounts, b: AcceptanceCounts, sign: 1 | -1 = 1): AcceptanceCounts {
  const longer = Math.max(a.perPosition.length, b.perPosition.length);
  return {
    rounds: a.rounds + sign * b.rounds,
    drafted: a.drafted + sign * b.drafted,
    accepted: a.accepted + sign * b.accepted,
    perPosition: Array.from(
      { length: longer },
      (_, i) => (a.perPosition[i] ?? 0) + sign * (b.perPosition[i] ?? 0),
    ),
  };
}

/** The rates of counts. */
export function ratesOf({ rounds, drafted, accepted, perPosition }: AcceptanceCounts): AcceptanceRates {
  const share = (n: number, of: number) => of === 0 ? 0 : n / of;
  return {
    rounds,
    drafted,
    accepted,
    acceptance_per_position: perPosition.map((n) => share(n, rounds)),
    conditional_acceptance: perPosition.map((n, i) => share(n, i === 0 ? rounds : perPosition[i - 1]!)),
    mean_accepted_length: rounds === 0 ? 0 : 1 + accepted / rounds,
  };
}
