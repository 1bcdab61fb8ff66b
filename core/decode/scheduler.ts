/**
 * Continuous batching: texts that are written together, a step at a time (Yu et al. 2022, Orca). They join and leave between
 * steps, each with its own sampling, length and draft length; none of them notices the others.
 *
 * @module
 */
import { AbortedError, BusyError, type SpeculatorsError } from "../errors.ts";
import type { VerifierModel } from "../plugin.ts";
import { breathe, turn } from "../turn.ts";
import { Acceptance, type AcceptanceRates } from "./acceptance.ts";
import type { DecodeRound, LoopOptions, SequenceOptions } from "./options.ts";
import { RoundQueue } from "./round_queue.ts";
import { Sequence } from "./sequence.ts";
import { type Outcome, Stepper } from "./step.ts";

/** How a scheduler works. */
export interface SchedulerOptions extends LoopOptions {
  /** Tokens proposed in a round where a request does not say; 3 when absent. */
  readonly numSpecTokens?: number;
  /** Most texts written at once; 8 when absent. */
  readonly maxSequences?: number;
  /** Most requests that wait; 256 when absent. */
  readonly maxQueue?: number;
}

/** A text to be written. */
export interface SchedulerRequest extends SequenceOptions {
  /** i32 `[T]`, at least one token. */
  readonly prompt: Int32Array;
  /** Gives the request up: its memory is freed at once. */
  readonly signal?: AbortSignal;
  /** Called when it waits no longer. */
  readonly onBegin?: () => void;
}

/** What a scheduler is about. */
export interface SchedulerStats {
  /** Texts being written. */
  readonly running: number;
  /** Requests that wait. */
  readonly waiting: number;
  /** Steps made: passes over all running texts. */
  readonly steps: number;
  /** Prompt tokens read. */
  readonly promptTokens: number;
  /** Tokens written. */
  readonly tokens: number;
  /** Acceptance over all rounds. */
  readonly acceptance: AcceptanceRates;
}

/** A request on its way. */
interface Entry {
  readonly request: SchedulerRequest;
  readonly rounds: RoundQueue;
  sequence: Sequence | null;
}

/** Writes several texts at once. */
export class Scheduler implements AsyncDisposable {
  readonly #model: VerifierModel;
  readonly #options: SchedulerOptions;
  readonly #stepper: Stepper;
  readonly #waiting: Entry[] = [];
  readonly #acceptance = new Acceptance();
  /** Those that the step under way works on: their memory is freed after it. */
  #busy: readonly Entry[] = [];
  #running: Entry[] = [];
  #loop: Promise<void> | null = null;
  #open = true;
  #steps = 0;
  #promptTokens = 0;
  #tokens = 0;

  /** The model and the draft stay the caller's, and must outlive it. */
  constructor(model: VerifierModel, options: SchedulerOptions) {
    this.#model = model;
    this.#options = options;
    this.#stepper = new Stepper(model, options);
  }

  /**
   * Takes a request. Its rounds come as they are made; whoever stops reading them before their end gives the request up. A
   * prompt that cannot be used, a draft that fails and a given signal end them with an error, as in `decode`.
   *
   * @throws {BusyError} when too many wait, or the scheduler is closed
   */
  submit(request: SchedulerRequest): AsyncIterableIterator<DecodeRound, void, void> {
    const { maxQueue = 256, maxSequences = 8 } = this.#options;
    if (!this.#open) {
      throw new BusyError("request", "expected an open scheduler, received one that was closed");
    }
    // What can begin with the next step does not wait.
    if (this.#waiting.length - Math.max(0, maxSequences - this.#running.length) >= maxQueue) {
      throw new BusyError("request", `expected at most ${maxQueue} that wait, received one more`, {
        hint: "Ask again later",
      });
    }
    const entry: Entry = {
      request,
      sequence: null,
      rounds: new RoundQueue(() => this.#drop(entry, null), request.signal),
    };
    if (request.signal?.aborted) entry.rounds.fail(new AbortedError());
    else if (request.maxTokens <= 0) entry.rounds.end();
    else this.#waiting.push(entry);
    this.#loop ??= this.#run();
    return entry.rounds;
  }

  /** What it is about. */
  stats(): SchedulerStats {
    return {
      running: this.#running.length,
      waiting: this.#waiting.length,
      steps: this.#steps,
      promptTokens: this.#promptTokens,
      tokens: this.#tokens,
      acceptance: this.#acceptance.rates(),
    };
  }

  /** Takes no more requests, refuses those that wait, and finishes what runs. */
  async close(): Promise<void> {
    this.#open = false;
    for (const { rounds } of this.#waiting.splice(0)) {
      rounds.fail(new BusyError("request", "expected an open scheduler, received one that was closed"));
    }
    await this.#loop;
  }

  /** As {@linkcode Scheduler.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    while (this.#running.length + this.#waiting.length > 0) {
      await turn();
      await breathe();
      this.#admit();
      await this.#prefill();
      await this.#round();
    }
    this.#loop = null;
  }

  /** Lets those that wait begin, first come first served. */
  #admit(): void {
    const { maxSequences = 8, numSpecTokens } = this.#options;
    while (this.#running.length < maxSequences && this.#waiting.length > 0) {
      const entry = this.#waiting.shift()!, { prompt, signal: _, onBegin, ...own } = entry.request;
      const options = { ...this.#options, ...(numSpecTokens === undefined ? {} : { numSpecTokens }), ...own };
      try {
        entry.sequence = new Sequence(this.#model, prompt, options);
      } catch (error) {
        entry.rounds.fail(error as Error);
        continue;
      }
      this.#running.push(entry);
      onBegin?.();
    }
  }

  /** Reads parts of prompts, as many as make a part's rows together, in turn: a long prompt does not hold up short ones. */
  async #prefill(): Promise<void> {
    const { prefillRows = 512 } = this.#options, chosen: Entry[] = [];
    let rows = 0;
    for (const entry of this.#running) {
      const { read, promptLength } = entry.sequence!, own = Math.min(prefillRows, promptLength - read);
      if (own === 0 || (chosen.length > 0 && rows + own > prefillRows)) continue;
      chosen.push(entry);
      rows += own;
    }
    if (chosen.length === 0) return;
    // Those whose prompts go on come last the next time.
    this.#running = [...this.#running.filter((entry) => !chosen.includes(entry)), ...chosen];
    this.#promptTokens += rows;
    await this.#step(chosen, (sequences) => this.#stepper.prefill(sequences));
  }

  /** One round of every text whose prompt is read. */
  async #round(): Promise<void> {
    const chosen = this.#running.filter(({ sequence }) => sequence!.read === sequence!.promptLength);
    if (chosen.length === 0) return;
    this.#steps++;
    await this.#step(chosen, (sequences) => this.#stepper.round(sequences));
  }

  async #step(
    entries: readonly Entry[],
    step: (sequences: readonly Sequence[]) => Promise<Outcome[]>,
  ): Promise<void> {
    let outcomes: Outcome[];
    this.#busy = entries;
    try {
      outcomes = await step(entries.map(({ sequence }) => sequence!));
    } catch (error) {
      this.#busy = [];
      // The pass itself failed: nobody knows for whom.
      for (const entry of entries) this.#drop(entry, error as SpeculatorsError);
      return;
    }
    this.#busy = [];
    for (const [i, entry] of entries.entries()) {
      const outcome = outcomes[i]!;
      if (entry.rounds.closed) this.#drop(entry, null);
      else if ("failure" in outcome) this.#drop(entry, outcome.failure);
      else if (outcome.round) this.#deliver(entry, outcome.round);
    }
  }

  #deliver(entry: Entry, round: DecodeRound): void {
    this.#acceptance.count(round);
    this.#tokens += round.tokens.length;
    entry.rounds.push(round);
    if (!entry.sequence!.ended) return;
    this.#leave(entry);
    entry.rounds.end();
  }

  /** Ends a request with an error, or, when it was given up, without. */
  #drop(entry: Entry, error: Error | null): void {
    const at = this.#waiting.indexOf(entry);
    if (at >= 0) this.#waiting.splice(at, 1);
    if (!this.#busy.includes(entry)) this.#leave(entry);
    if (error) entry.rounds.fail(error);
  }

  #leave(entry: Entry): void {
    this.#running = this.#running.filter((one) => one !== entry);
    entry.sequence?.[Symbol.dispose]();
  }
}
