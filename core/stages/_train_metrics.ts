/** Numbers of a training run besides the objective's own: the acceptance they promise, speed, time by phase, memory. */
import type { Backend } from "../tensor.ts";

/** What a run does at a moment. */
export type TrainPhase = "data" | "compute";

/**
 * The length that decoding would accept in a round, were each position right as often as in training: 1 (the verifier's
 * own token) + Σᵢ Πⱼ≤ᵢ of the conditional accuracies, of which there is one a step.
 *
 * @returns `null` when the values hold no `cond_acc_0`
 */
export function simulatedAcceptedLength(values: Readonly<Record<string, number>>): number | null {
  let length = 1, right = 1;
  for (let step = 0;; step++) {
    const rate = values[`cond_acc_${step}`];
    if (rate === undefined) return step === 0 ? null : length;
    right *= rate;
    length += right;
  }
}

/** The values, with `simulated_accepted_length` where it can be told. */
export function withSimulation(values: Readonly<Record<string, number>>): Record<string, number> {
  const length = simulatedAcceptedLength(values);
  return length === null ? { ...values } : { ...values, simulated_accepted_length: length };
}

/** Counts what happened since the last time somebody asked: time by phase, tokens, room that batches did not fill. */
export class TrainMeter {
  readonly #totalSeqLen: number;
  readonly #seconds: Record<TrainPhase, number> = { data: 0, compute: 0 };
  #since = performance.now();
  #tokens = 0;
  #batches = 0;

  /** @param totalSeqLen most tokens of a batch */
  constructor(totalSeqLen: number) {
    this.#totalSeqLen = totalSeqLen;
  }

  /** Forgets the time since the last phase ended: it belongs to none. */
  skip(): void {
    this.#since = performance.now();
  }

  /** Ends a phase: the time since the last one ended is its. */
  end(phase: TrainPhase): void {
    const now = performance.now();
    this.#seconds[phase] += (now - this.#since) / 1000;
    this.#since = now;
  }

  /** Counts a batch of so many tokens. */
  count(tokens: number): void {
    this.#tokens += tokens;
    this.#batches++;
  }

  /**
   * The numbers, each over the steps since the last call: `tokens_per_second`; `padding_share`, the part of the batches
   * that samples did not fill, which upstream pads and computes and which costs nothing here; `data_seconds` spent
   * waiting for samples and `compute_seconds`, a step each; `memory_bytes` held now, `peak_memory_bytes` in the run.
   */
  take(backend: Backend): Record<string, number> {
    const { data, compute } = this.#seconds,
      steps = Math.max(1, this.#batches),
      { live, peak } = backend.memory();
    const found = {
      tokens_per_second: data + compute > 0 ? this.#tokens / (data + compute) : 0,
      padding_share: 1 - this.#tokens / (steps * this.#totalSeqLen),
      data_seconds: data / steps,
      compute_seconds: compute / steps,
      memory_bytes: live,
      peak_memory_bytes: peak,
    };
    this.#seconds.data =
      this.#seconds.compute =
      this.#tokens =
      this.#batches =
        0;
    return found;
  }
}
