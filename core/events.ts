/**
 * What stages tell while they work. A stage is an async generator of these events and returns its result; it prints
 * nothing itself.
 *
 * @module
 */

/** How far a stage is. */
export interface ProgressEvent {
  /** Tag. */
  readonly type: "progress";
  /** Name of the stage. */
  readonly stage: string;
  /** Units finished. */
  readonly done: number;
  /** Units in all; `null` when unknown. */
  readonly total: number | null;
  /** What is counted: `samples`, `steps`, `tokens`. */
  readonly unit: string;
  /** A few words beside it, e.g. the loss. */
  readonly detail?: string;
}

/** Numbers of a training or validation step. */
export interface MetricsEvent {
  /** Tag. */
  readonly type: "metrics";
  /** Name of the stage. */
  readonly stage: string;
  /** `train`, `val`, …. */
  readonly split: string;
  /** Step since the start. */
  readonly step: number;
  /** Epoch, from 0. */
  readonly epoch: number;
  /** The numbers. */
  readonly values: Readonly<Record<string, number>>;
}

/** Something a person should know. */
export interface NoteEvent {
  /** Tag. */
  readonly type: "note";
  /** Name of the stage. */
  readonly stage: string;
  /** How much it matters. */
  readonly level: "info" | "warning";
  /** The sentence. */
  readonly text: string;
}

/** Text as it is generated. */
export interface TextEvent {
  /** Tag. */
  readonly type: "text";
  /** Name of the stage. */
  readonly stage: string;
  /** The new piece. */
  readonly text: string;
  /** Whether the draft proposed it and the verifier accepted it. */
  readonly accepted: boolean;
}

/** Any event of a stage. */
export type StageEvent = ProgressEvent | MetricsEvent | NoteEvent | TextEvent;

/** A running stage: events while it works, its result at the end. */
export type Stage<R> = AsyncGenerator<StageEvent, R, void>;

/** Runs a stage to its end and gives its result; `onEvent` sees the events. */
export async function finish<R>(stage: Stage<R>, onEvent?: (event: StageEvent) => void): Promise<R> {
  while (true) {
    const next = await stage.next();
    if (next.done) return next.value;
    onEvent?.(next.value);
  }
}
