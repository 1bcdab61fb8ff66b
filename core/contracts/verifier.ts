/** The contract of a verifier: an architecture of the model that is sped up. */
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
}

/** What a forward pass is asked for. */
export interface ForwardInput {
  /** i32 `[T]` on the device, or in plain memory. */
  readonly tokens: Tensor | Int32Array;
  /** Rows go behind those of the cache, which grows; without one, each document starts at position 0. */
  readonly cache?: KvCache;
  /** Lengths of packed documents that sum to T; one document when absent. Not together with a cache. */
  readonly lengths?: readonly number[];
  /** Hidden states wanted, serving convention: id i enters layer i, id n leaves the last layer, un-normed. */
  readonly capture?: readonly number[];
  /** Rows whose logits are wanted; `all` when absent. */
  readonly logits?: "all" | "last" | "none";
}

/** What a forward pass gives; the tensors are the caller's (or the open scope's). */
export interface ForwardOutput {
  /** f32 `[T or 1, vocab]`. */
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
  /** An empty cache. */
  cache(capacity: number): KvCache;
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
  /** Builds the model from its tensors, which it then owns. */
  model(
    info: VerifierInfo,
    weights: { readonly backend: Backend; readonly tensors: ReadonlyMap<string, Tensor> },
  ): VerifierModel;
}
