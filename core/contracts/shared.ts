/** What plugins of several kinds are given. */
import type { FileDType, HostTensor, Shape } from "../tensor.ts";

/** A schema as https://standardschema.dev draws it; zod, valibot and arktype schemas are ones. */
export interface StandardSchema<T> {
  /** The standard's one member. */
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (
      value: unknown,
    ) => StandardResult<T> | Promise<StandardResult<T>>;
    readonly types?: { readonly input: unknown; readonly output: T } | undefined;
    /** What the schema takes, as a JSON Schema (https://standardschema.dev/json-schema); some libraries give none. */
    readonly jsonSchema?:
      | { input(options: { readonly target: string }): Record<string, unknown> }
      | undefined;
  };
}

/** What a {@linkcode StandardSchema} finds. */
export type StandardResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | {
    readonly issues: readonly {
      readonly message: string;
      readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
    }[];
  };

/** A speculator's `config.json`: the fields common to all algorithms are in `core/config`, the rest is the plugin's. */
export interface SpeculatorConfig {
  /** Name of the draft plugin. */
  readonly speculators_model_type: string;
  /** Everything else, unknown fields too. */
  readonly [field: string]: unknown;
}

/** A tensor of a model's checkpoint. */
export interface TensorInfo {
  /** Its name in the checkpoint. */
  readonly name: string;
  /** Its shape. */
  readonly shape: Shape;
  /** `false`: a checkpoint may lack it. */
  readonly required?: boolean;
  /** Its element type where it is packed; a floating-point one when absent. */
  readonly dtype?: FileDType;
  /** Its shape in a checkpoint where that is another, of as many entries. */
  readonly stored?: Shape;
  /** Tensors of which it is a stack along its first axis, where a checkpoint holds those instead. */
  readonly parts?: readonly string[];
}

/** A tensor of a draft model. */
export interface DraftTensorInfo extends TensorInfo {
  /** Whether training changes it. */
  readonly trained: boolean;
  /** Whether the checkpoint holds it; what is not saved is taken from the verifier again. */
  readonly saved: boolean;
  /** Whether proposing needs it; what is saved when absent. What only training needs is then not loaded. */
  readonly decodes?: boolean;
}

/** What is known of a verifier from its `config.json`. */
export interface VerifierInfo {
  /** Folder or hub name, as the user gave it. */
  readonly nameOrPath: string;
  /** `architectures` of its config. */
  readonly architectures: readonly string[];
  /** `model_type` of its config. */
  readonly modelType: string;
  /** Width of the residual stream. */
  readonly hiddenSize: number;
  /** Decoder layers. */
  readonly layers: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Entries of a head. */
  readonly headDim: number;
  /** Width of the dense MLP. */
  readonly intermediateSize: number;
  /** Rows of the embedding. */
  readonly vocabSize: number;
  /** Longest sequence it was made for. */
  readonly maxPositions: number;
  /** Added to the mean square in its norms. */
  readonly rmsNormEps: number;
  /** Base of the rotary frequencies. */
  readonly ropeTheta: number;
  /** `rope_scaling` of its config, or `null`. */
  readonly ropeScaling: Readonly<Record<string, unknown>> | null;
  /** Tokens that end a text. */
  readonly eosTokenIds: readonly number[];
  /** The whole config (the text part where it is nested). */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** The three weights of a verifier that a draft may share or train against. */
export interface VerifierWeights {
  /** `[vocab, hidden]`. */
  embedTokens(): Promise<HostTensor>;
  /** `[vocab, hidden]`; the embedding where they are tied. */
  lmHead(): Promise<HostTensor>;
  /** The final norm, `[hidden]`. */
  norm(): Promise<HostTensor>;
}

/** A draft vocabulary within the verifier's. */
export interface VocabularyMap {
  /** i64 `[draft vocab]`: verifier id = draft id + offset. */
  readonly d2t: BigInt64Array;
  /** `[vocab]`: 1 for the verifier's ids that are kept. */
  readonly t2d: Uint8Array;
}
