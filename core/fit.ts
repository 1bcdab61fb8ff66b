/**
 * Whether a model fits a device, before anything is loaded.
 *
 * @module
 */
import type { VerifierInfo } from "./plugin.ts";
import type { OpenedVerifier } from "./verifier.ts";

/** Bytes that a verifier takes on a device. */
export interface ModelNeeds {
  /** Its weights, as they are stored. */
  readonly weights: number;
  /** The largest of them. */
  readonly largest: number;
  /** Tables of the rotation. */
  readonly tables: number;
  /** Keys and values of {@linkcode ModelNeeds.tokens}, in f32. */
  readonly cache: number;
  /** What one pass over {@linkcode ModelNeeds.rows} works with, about. */
  readonly work: number;
  /** All of it. */
  readonly total: number;
  /** Tokens of the sequence that was counted with. */
  readonly tokens: number;
  /** Rows of the pass that was counted with. */
  readonly rows: number;
}

/** Rows of a pass: a prompt is read in pieces no larger. */
const ROWS = 512;

/**
 * What a verifier takes for one sequence.
 *
 * @param tokens its length; the model's longest at most
 * @throws {FormatError} when the weights are not those of its config
 */
export function modelNeeds(opened: OpenedVerifier, tokens: number): ModelNeeds {
  const { info } = opened, { weights, largest } = opened.size();
  const length = Math.min(tokens, info.maxPositions), rows = Math.min(ROWS, length);
  const tables = 4 * info.maxPositions * info.headDim;
  const cache = 8 * info.layers * info.kvHeads * info.headDim * length;
  const work = 4 * rows * widest(info) + 4 * info.vocabSize * rows;
  return {
    weights,
    largest,
    tables,
    cache,
    work,
    total: weights + tables + cache + work,
    tokens: length,
    rows,
  };
}

/** Entries of a row that are held at once: the stream twice, q, k, v and the output, the MLP's two halves. */
function widest({ hiddenSize, heads, kvHeads, headDim, intermediateSize }: VerifierInfo): number {
  return 4 * hiddenSize + 2 * (heads + kvHeads) * headDim + 3 * intermediateSize;
}

/** What a device holds. */
export interface DeviceRoom {
  /** Bytes in all; `null` where the device does not say. */
  readonly total: number | null;
  /** Bytes of one tensor. */
  readonly largest: number;
}

/** Whether a model fits. */
export interface Fit {
  /** `null`: the device does not say how much it holds. */
  readonly fits: boolean | null;
  /** What it lacks. */
  readonly lacks: "total" | "largest" | null;
}

/** Compares what a model takes with what a device holds. */
export function fit(needs: Pick<ModelNeeds, "largest" | "total">, room: DeviceRoom): Fit {
  if (needs.largest > room.largest) return { fits: false, lacks: "largest" };
  if (room.total === null) return { fits: null, lacks: null };
  return needs.total > room.total ? { fits: false, lacks: "total" } : { fits: true, lacks: null };
}
