/** The contract of a verifier: an architecture of the model that is sped up. */
import type { Raster } from "../images/raster.ts";
import type { Backend, Tensor } from "../tensor.ts";
import type { PluginHeader } from "./header.ts";
import type { TensorInfo, VerifierInfo } from "./shared.ts";

/** An architecture of verifiers. */
export interface VerifierPlugin extends PluginHeader<"verifier"> {
  /** `architectures` that it reads, for people and for messages. */
  readonly architectures: readonly string[];
  /** Whether it reads a model with this `config.json`. */
  matches(config: Readonly<Record<string, unknown>>): boolean;
  /** Loads the architecture's code. */
  load(): Promise<VerifierArchitecture>;
}

/** Keys and values of a sequence. */
export interface KvCache extends Disposable {
  /** Rows there is room for. */
  readonly capacity: number;
  /** Rows in use. */
  readonly length: number;
  /** Forgets the rows from `length` on. */
  truncate(length: number): void;
  /**
   * Of the rows from `start` on keeps those at `start + rows[i]`, ascending, as the rows `start + i`, and forgets the others: the
   * accepted path of a tree.
   */
  keep(start: number, rows: readonly number[]): void;
}

/** How a cache stores what it keeps. */
export interface CacheOptions {
  /** Storage of keys and values; f32 when absent. */
  readonly dtype?: "f32" | "bf16";
}

/** Rows of a pass that go behind one cache. */
export interface SequenceRows {
  /** The sequence's cache, which grows. */
  readonly cache: KvCache;
  /** How many of the pass's rows are its own, at least one. */
  readonly rows: number;
  /** Its rows whose logits are wanted; what {@linkcode ForwardInput.logits} says when absent. */
  readonly logits?: "all" | "last" | "none";
}

/** An image as its processor gives it: patches, in the order in which the model merges them. */
export interface ImagePatches {
  /** `[frames · height · width, numbers of a patch]`, one row after the other. */
  readonly pixels: Float32Array;
  /** Patches along time, height and width. */
  readonly grid: readonly [frames: number, height: number, width: number];
}

/** How an architecture takes images. */
export interface ImageReader {
  /** The token that stands for an image: chat templates write it once an image, a prompt has it once a row. */
  readonly token: number;
  /** Rows that an image takes. */
  rows(image: ImagePatches): number;
  /**
   * Makes patches of pixels.
   *
   * @param config what the model's `preprocessor_config.json` says; empty without one
   * @throws {ConfigError} when a field of it cannot be used
   * @throws {ShapeError} when the image cannot be brought to a size that the model takes
   */
  prepare(image: Raster, config: Readonly<Record<string, unknown>>): ImagePatches;
}

/** What a forward pass is asked for. */
export interface ForwardInput {
  /** i32 `[T]` on the device, or in plain memory. */
  readonly tokens: Tensor | Int32Array;
  /** Rows go behind those of the cache, which grows; without one, each document starts at position 0. */
  readonly cache?: KvCache;
  /**
   * Several sequences in one pass, each behind a cache of its own: their rows lie one after the other in `tokens`. A row's
   * results do not depend, bit for bit, on the sequences beside its own. Not together with `cache` or `lengths`.
   */
  readonly sequences?: readonly SequenceRows[];
  /**
   * The rows behind a cache are a tree: row i follows row `parents[i]` of its sequence (counted from the sequence's first row
   * in this pass; −1 is the last cached row), its position is one more, and it sees the cached rows and its ancestors. At most
   * 64 rows a sequence, and `parents[i] < i`. Without it each row follows the one before.
   */
  readonly parents?: readonly number[];
  /** Lengths of packed documents that sum to T; one document when absent. Not together with a cache. */
  readonly lengths?: readonly number[];
  /**
   * Images, in the order of their tokens; each stands in the place of as many image tokens as it has merged patches. `tokens` are
   * then in plain memory. Refused by models that read none.
   */
  readonly images?: readonly ImagePatches[];
  /** Hidden states wanted, serving convention: id i enters layer i, id n leaves the last layer, un-normed. */
  readonly capture?: readonly number[];
  /** Rows whose logits are wanted; `all` when absent. */
  readonly logits?: "all" | "last" | "none";
}

/** What a forward pass gives; the tensors are the caller's (or the open scope's). */
export interface ForwardOutput {
  /** f32 `[R, vocab]`: the rows asked for, in their order; `null` when there are none. */
  readonly logits: Tensor | null;
  /** f32 `[T, hidden]` for each id of `capture`, in its order. */
  readonly hidden: readonly Tensor[];
}

/** A verifier with its weights. */
export interface VerifierModel extends Disposable {
  /** What it is. */
  readonly info: VerifierInfo;
  /** Where its weights are. */
  readonly backend: Backend;
  /** An empty cache of at most `capacity` rows; it takes memory as it fills. */
  cache(capacity: number, options?: CacheOptions): KvCache;
  /** One pass over T tokens. Appends work only. */
  forward(input: ForwardInput): ForwardOutput;
}

/** A verifier architecture's code. */
export interface VerifierArchitecture {
  /**
   * Reads a `config.json`.
   *
   * @throws {ConfigError} when a field is missing or cannot be used
   */
  info(config: Readonly<Record<string, unknown>>, nameOrPath: string): VerifierInfo;
  /** Every tensor of a checkpoint. */
  tensors(info: VerifierInfo): readonly TensorInfo[];
  /** Names of the tensors a draft may share; `head` is the embedding's where they are tied. */
  roles(info: VerifierInfo): { readonly embed: string; readonly head: string; readonly norm: string };
  /** How it takes images; absent, or `null`, where it reads text only. */
  images?(info: VerifierInfo): ImageReader | null;
  /** Builds the model from its tensors, which it then owns. */
  model(
    info: VerifierInfo,
    weights: { readonly backend: Backend; readonly tensors: ReadonlyMap<string, Tensor> },
  ): VerifierModel;
}
