/**
 * How a draft plugin converts checkpoints of another layout. A converter moves no data: from the foreign config and the
 * names, shapes and types of its tensors it makes a plan, which the core carries out tensor by tensor.
 *
 * @module
 */
import type { FileSpec, TensorSource } from "./formats/source.ts";
import type { HostTensor } from "./tensor.ts";

/** A checkpoint as a converter sees it. */
export interface ConvertSource {
  /** Its folder or file, for messages. */
  readonly where: string;
  /** Its `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** What its tensors are, in the order in which the Python system reads them. */
  readonly tensors: ReadonlyMap<string, FileSpec>;
}

/** Float types that weights may be written in. */
export type WeightDType = "f32" | "f16" | "bf16";

/** Weights that may be taken from the verifier where a checkpoint lacks them. */
export type FillName = "embed_tokens" | "lm_head";

/** What a converter plans from. */
export interface ConvertRequest {
  /** What is converted. */
  readonly source: ConvertSource;
  /** The verifier's name as given, and its `config.json`; `null` when none was given. */
  readonly verifier: {
    readonly nameOrPath: string;
    readonly config: Readonly<Record<string, unknown>>;
  } | null;
  /** The algorithm's options that were given; their names are among {@linkcode DraftConverter.options}. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Do exactly what the Python system does, where it loses something too. */
  readonly strictUpstream: boolean;
  /** Type to write floats in; `null` to choose. */
  readonly dtype: WeightDType | null;
  /** What to take from the verifier if the checkpoint lacks it. */
  readonly fill: readonly FillName[];
}

/** Tensors that a plan is carried out with. */
export interface ConvertInputs {
  /** The checkpoint that is converted. */
  readonly source: TensorSource;
}

/** Where a planned tensor's content comes from. Float types are converted, rounding to the nearest, ties to even. */
export type TensorContent =
  | {
    readonly kind: "copy";
    /** Name in the checkpoint. */
    readonly tensor: string;
    /** Round to this type first; the Python system goes through f32. */
    readonly through?: "f32";
  }
  | {
    readonly kind: "verifier";
    /** Which of the verifier's weights. */
    readonly role: "embed" | "head";
    /** Rows to take, in order; all of them when absent. */
    readonly rows?: (inputs: ConvertInputs) => Promise<Int32Array>;
  }
  | { readonly kind: "constant"; readonly value: 0 | 1 }
  | {
    readonly kind: "made";
    /** Makes the tensor in memory: for small ones. */
    readonly make: (inputs: ConvertInputs) => Promise<HostTensor>;
  };

/** A tensor to be written. */
export interface PlannedTensor extends FileSpec {
  /** Its new name. */
  readonly name: string;
  /** Where its content comes from. */
  readonly content: TensorContent;
}

/** Something a person should know of a conversion. */
export interface ConvertNote {
  /** How much it matters. */
  readonly level: "info" | "warning";
  /** The sentence. */
  readonly text: string;
}

/** What will be written. */
export interface ConvertPlan {
  /** The new `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** The tensors, each name once. */
  readonly tensors: readonly PlannedTensor[];
  /** Tensors of the checkpoint that have no place in the new layout. */
  readonly unexpected: readonly string[];
  /** What is kept, made up or lost. */
  readonly notes: readonly ConvertNote[];
  /**
   * Looks at small tensors before anything is written.
   *
   * @throws {FormatError} when their content cannot be right
   */
  readonly check?: (inputs: ConvertInputs) => Promise<void>;
}

/** Kinds of options: true or false, or a list of layer ids. */
export type ConvertOptionKind = "boolean" | "layers";

/** A way from one layout of checkpoints to another. */
export interface DraftConverter {
  /** Name of the foreign layout, unique in its direction. */
  readonly name: string;
  /** `in`: the foreign layout becomes the speculators format; `out`: the other way. */
  readonly direction: "in" | "out";
  /** One line for people. */
  readonly summary: string;
  /** The options it takes. */
  readonly options: Readonly<Record<string, ConvertOptionKind>>;
  /** Whether a checkpoint with tensors of these names is of the foreign layout; for telling people what a file is. */
  matches?(names: readonly string[]): boolean;
  /**
   * Plans a conversion.
   *
   * @throws {FormatError} when a weight is missing or has another shape than the config says; names each
   * @throws {ConfigError} when a field of a config or an option cannot be used
   */
  plan(request: ConvertRequest): ConvertPlan;
}
