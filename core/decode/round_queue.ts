/** Rounds of a request, from the loop that makes them to whoever reads them. */
import { AbortedError } from "../errors.ts";
import type { DecodeRound } from "./options.ts";

type Result = IteratorResult<DecodeRound, void>;

/** A queue with one reader. */
export class RoundQueue implements AsyncIterableIterator<DecodeRound, void, void> {
  readonly #rounds: DecodeRound[] = [];
  readonly #given: () => void;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = () => this.#giveUp(new AbortedError());
  #reader: PromiseWithResolvers<Result> | null = null;
  #error: Error | null = null;
  #closed = false;

  /** @param given called once, when the reader gives the request up or the signal is given */
  constructor(given: () => void, signal?: AbortSignal) {
    this.#given = given;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort);
  }

  /** Whether nothing more is to come. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Adds a round. */
  push(round: DecodeRound): void {
    if (this.#closed) return;
    if (this.#reader) this.#answer({ done: false, value: round });
    else this.#rounds.push(round);
  }

  /** Ends the rounds, once those that wait are read. */
  end(): void {
    this.#close();
    if (this.#reader) this.#answer({ done: true, value: undefined });
  }

  /** Ends the rounds with an error, once those that wait are read. */
  fail(error: Error): void {
    if (this.#closed) return;
    this.#close();
    if (!this.#reader) {
      this.#error = error;
      return;
    }
    const reader = this.#reader;
    this.#reader = null;
    reader.reject(error);
  }

  next(): Promise<Result> {
    const round = this.#rounds.shift();
    if (round) return Promise.resolve({ done: false, value: round });
    const error = this.#error;
    this.#error = null;
    if (error) return Promise.reject(error);
    if (this.#closed) return Promise.resolve({ done: true, value: undefined });
    this.#reader = Promise.withResolvers<Result>();
    return this.#reader.promise;
  }

  return(): Promise<Result> {
    this.#rounds.length = 0;
    if (!this.#closed) {
      this.#close();
      this.#given();
    }
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #giveUp(error: Error): void {
    if (this.#closed) return;
    this.#rounds.length = 0;
    this.fail(error);
    this.#given();
  }

  #answer(result: Result): void {
    const reader = this.#reader!;
    this.#reader = null;
    reader.resolve(result);
  }

  #close(): void {
    this.#closed = true;
    this.#signal?.removeEventListener("abort", this.#abort);
  }
}
