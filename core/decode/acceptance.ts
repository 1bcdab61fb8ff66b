/**
 * How much of what was proposed is accepted: counts over the rounds of one or many sequences, and the rates people
 * publish. Positions are those of a chain: position 0 is the first proposed token.
 *
 * @module
 */

import type { DecodeRound } from "./options.ts";

/** Rates of a number of rounds. */
export interface AcceptanceRates {
  /** Passes of the verifier that checked a proposal. */
  readonly rounds: number;
  /** Tokens proposed. */
  readonly drafted: number;
  /** Proposed tokens that were accepted. */
  readonly accepted: number;
  /** Share of the rounds in which position i was accepted (and so all before it). */
  readonly acceptance_per_position: number[];
  /** Share of the rounds that accepted position i among those that accepted position i − 1. */
  readonly conditional_acceptance: number[];
  /** Tokens gained by a pass: 1 + accepted / rounds. 0 when there was no round. */
  readonly mean_accepted_length: number;
}

/** Counts rounds. */
export class Acceptance {
  #rounds = 0;
  #drafted = 0;
  #accepted = 0;
  readonly #perPosition: number[] = [];

  /**
   * Counts a round that proposed `drafted` tokens, of which the first `accepted` were taken.
   *
   * @param positions how many positions they were for: fewer than tokens where they were a tree
   */
  add(drafted: number, accepted: number, positions: number = drafted): void {
    this.#rounds++;
    this.#drafted += drafted;
    this.#accepted += accepted;
    while (this.#perPosition.length < positions) this.#perPosition.push(0);
    for (let i = 0; i < accepted; i++) this.#perPosition[i]!++;
  }

  /** Counts a round of decoding, if anything was proposed in it. */
  count({ proposed, accepted, positions }: DecodeRound): void {
    if (proposed.length > 0) this.add(proposed.length, accepted, positions);
  }

  /** How often each position was accepted. */
  perPosition(): readonly number[] {
    return this.#perPosition.slice();
  }

  /** The rates so far. */
  rates(): AcceptanceRates {
    const rounds = this.#rounds;
    const rate = (n: number, of: number) => of === 0 ? 0 : n / of;
    return {
      rounds,
      drafted: this.#drafted,
      accepted: this.#accepted,
      acceptance_per_position: this.#perPosition.map((n) => rate(n, rounds)),
      conditional_acceptance: this.#perPosition.map((n, i) =>
        rate(n, i === 0 ? rounds : this.#perPosition[i - 1]!)
      ),
      mean_accepted_length: rounds === 0 ? 0 : 1 + this.#accepted / rounds,
    };
  }
}
