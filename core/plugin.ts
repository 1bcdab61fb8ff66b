/**
 * The plugin contracts. A plugin is a plain object, the default export of a module: data about itself first, code
 * behind a dynamic import. Four kinds: a `draft` proposes tokens and says how it is trained, a `verifier` is an
 * architecture of the model that is sped up, an `engine` is a place where text and hidden states come from, a `logger`
 * takes a run's numbers. The core asks members, never names: whatever differs between plugins is a member here.
 *
 * @module
 */
import type { DraftConverter } from "./conversion.ts";
import type { PackedBatch } from "./data/batch.ts";
import type { FileSpec, TensorSource } from "./formats/source.ts";
import type { Backend, HostTensor, Run, Shape, Tensor, TypedArray } from "./tensor.ts";

export type * from "./conversion.ts";
export type { TensorSource } from "./formats/source.ts";

/** The contract's version; a plugin written for another one is refused. */
export const API_VERSION = 1;

/** Kinds of plugins. */
export type PluginKind = "draft" | "verifier" | "engine" | "logger";

/** What every plugin says of itself. */
export interface PluginHeader<K extends PluginKind> {
  /** {@linkcode API_VERSION} it was written for. */
  readonly apiVersion: 1;
  /** Its kind. */
  readonly kind: K;
  /**
   * Its name: `snake_case`, unique in its kind. A draft's checkpoints name, as their `speculators_model_type`, the plugin
   * that decodes them: usually this one.
   */
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
}

/** Any plugin. */
export type Plugin = DraftPlugin | VerifierPlugin | EnginePlugin | LoggerPlugin;

/** The plugin type of a kind. */
export type PluginOf<K extends PluginKind> = Extract<Plugin, { readonly kind: K }>;

/** Types a plugin literal; does nothing else. */
export function definePlugin<const P extends Plugin>(plugin: P): P {
  return plugin;
}

// --- what plugins are given ------------------------------------------------------------------------------------------

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

// --- draft ------------------------------------------------------------------------------------------------------------

/** A draft algorithm. */
export interface DraftPlugin extends PluginHeader<"draft"> {
  /** Whether `train` works with it; a draft without weights (prompt lookup) sets it to `false`. */
  readonly trainable: boolean;
  /** Loads the algorithm's code. */
  load(): Promise<DraftAlgorithm>;
}

/** What a user may set when a draft is made; a plugin reads what it knows. */
export interface DraftOptions {
  /** Decoder layers of the draft. */
  readonly numLayers?: number;
  /** Kind of those layers, `llama` or `qwen3`. */
  readonly draftArch?: string;
  /** Entries of the draft vocabulary; the verifier's when absent. */
  readonly draftVocabSize?: number;
  /** Which of the verifier's hidden states the draft reads (serving convention: id i enters layer i). */
  readonly layerIds?: readonly number[];
  /** Tokens proposed in a round, as the config says by default. */
  readonly speculativeTokens?: number;
  /** Norm the hidden state before it becomes the residual. */
  readonly normBeforeResidual?: boolean;
  /** Train the embedding too. */
  readonly embedRequiresGrad?: boolean;
  /** What only this algorithm knows. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** Which states of the verifier a draft works with; ids are in the serving convention (id n: before the final norm). */
export interface DraftNeeds {
  /** Auxiliary hidden states, in the order the draft reads them. */
  readonly layers: readonly number[];
  /** Whether training needs the last hidden state (before the final norm). */
  readonly last: boolean;
}

/** Where a draft's tensors come from. */
export interface DraftSources {
  /** Seed of what is drawn at random. */
  readonly seed: number;
  /** The verifier's weights. */
  readonly verifier: VerifierWeights;
  /** Draft vocabulary, or `null` for the verifier's own; ignored where the checkpoint has one. */
  readonly vocabulary: VocabularyMap | null;
  /** A checkpoint to go on from. */
  readonly checkpoint: TensorSource | null;
}

/** How the loss is formed. */
export interface ObjectiveOptions {
  /** Test-time-training steps. */
  readonly tttSteps: number;
  /** Factor of the loss from one step to the next. */
  readonly tttStepLossDecay: number;
  /** Feed the true tokens to later steps, not the draft's own. */
  readonly useOffPolicyTokens: boolean;
}

/** What an objective computes from. */
export interface ObjectiveInput {
  /** Where uploads go. Scopes are the caller's. */
  readonly backend: Backend;
  /** All tensors of the draft by name: trained ones f32, others as stored; i64 as i32, bool as u8. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** The batch, in plain memory. */
  readonly batch: PackedBatch;
  /** Whether gradients will be asked for. */
  readonly gradients: boolean;
}

/** A loss, and what its metrics are made of. */
export interface LossResult {
  /** f32 `[1]`, on the tape. */
  readonly loss: Tensor;
  /** Tensors that {@linkcode LossResult.metrics} wants to see; read by the caller when it wants numbers. */
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Metrics from the outputs' content: `loss_i`, `full_acc_i`, `cond_acc_i`, …. */
  metrics(outputs: Readonly<Record<string, TypedArray>>): Record<string, number>;
}

/** A training objective: only appends work, reads nothing. */
export interface Objective {
  /** Loss of a batch. `run` is a tape's when gradients are wanted. */
  loss(run: Run, input: ObjectiveInput): LossResult;
}

/** Tokens put forward by a draft: a tree, a chain being the tree with `parents = [-1, 0, 1, …]`. */
export interface Proposal {
  /** i32 `[n]`, ids of the verifier. Owned by the caller of {@linkcode ProposerSession.propose}. */
  readonly tokens: Tensor;
  /** For each token the index of the one before it; −1 follows the newest token of the sequence. */
  readonly parents: readonly number[];
}

/** What a draft learns since its last proposal. */
export interface ProposeInput {
  /** All tokens so far, the newest (not yet seen by the verifier) included. */
  readonly history: Int32Array;
  /** Row p of the sequence that `hidden[·]` begins with: states are those of rows `position … history.length − 2`. */
  readonly position: number;
  /** The captured states of {@linkcode DraftNeeds.layers}, f32 `[rows, hidden]` each. */
  readonly hidden: readonly Tensor[];
  /** Most tokens wanted; 0 while the prompt is read: take the states in, propose nothing. */
  readonly count: number;
}

/** A draft at work on one sequence. */
export interface ProposerSession extends Disposable {
  /** Takes in new states and proposes at most `count` tokens, possibly none. Appends work only, reads nothing. */
  propose(input: ProposeInput): Proposal;
}

/** A draft ready to propose. */
export interface Proposer extends Disposable {
  /** Begins a sequence of at most `capacity` tokens. */
  start(capacity: number): ProposerSession;
}

/** A draft algorithm's code. */
export interface DraftAlgorithm<C extends SpeculatorConfig = SpeculatorConfig> {
  /** Schema of its `config.json`. */
  readonly schema: StandardSchema<C>;
  /** The config of a new draft for a verifier. */
  configure(verifier: VerifierInfo, options: DraftOptions): C;
  /** Which states it works with. */
  needs(config: C, verifier: VerifierInfo): DraftNeeds;
  /** Every tensor of the draft. */
  tensors(config: C): readonly DraftTensorInfo[];
  /** Every tensor's first value, by name. */
  initialise(config: C, sources: DraftSources): Promise<Map<string, HostTensor>>;
  /** How it is trained; a draft that is not `trainable` does without. */
  objective?(config: C, options: ObjectiveOptions): Objective;
  /** How it proposes; `tensors` stay the caller's. */
  proposer(
    config: C,
    model: { readonly backend: Backend; readonly tensors: ReadonlyMap<string, Tensor> },
  ): Proposer;
  /** Foreign checkpoints that it reads and writes; none when absent. */
  converters?(): readonly DraftConverter[];
  /** What vLLM's loader would refuse in a checkpoint, a sentence each; unknown when absent. */
  servingProblems?(config: C, tensors: ReadonlyMap<string, FileSpec>): readonly string[];
}

// --- verifier ---------------------------------------------------------------------------------------------------------

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

// --- engine -----------------------------------------------------------------------------------------------------------

/** A place where text and hidden states come from. */
export interface EnginePlugin extends PluginHeader<"engine"> {
  /** What it can do. */
  readonly capabilities: { readonly capture: boolean; readonly generate: boolean };
  /** Opens it. */
  open(options: EngineOptions): Promise<Engine>;
}

/** How an engine is opened. */
export interface EngineOptions {
  /** Loads the verifier on this machine; called by engines that compute here. */
  loadVerifier(): Promise<VerifierModel>;
  /** What the verifier is. */
  readonly info: VerifierInfo;
  /** Address of a server, for engines that ask one. */
  readonly endpoint?: string;
}

/** Text to go on with. */
export interface GenerateRequest {
  /** Token ids of the prompt. */
  readonly tokens: Int32Array;
  /** Most tokens to write. */
  readonly maxTokens: number;
  /** 0 is greedy. */
  readonly temperature?: number;
  /** Stop at these; the verifier's own when absent. */
  readonly eosTokenIds?: readonly number[];
}

/** An engine at work. */
export interface Engine extends Disposable {
  /** What the verifier is. */
  readonly info: VerifierInfo;
  /**
   * Hidden states of samples: for each sample, for each layer id (serving convention), `[T, hidden]`. Samples are
   * worked together where that is faster; the result does not depend on it.
   */
  capture(samples: readonly Int32Array[], layers: readonly number[]): Promise<HostTensor[][]>;
  /** Goes on with a text. */
  generate(request: GenerateRequest): Promise<Int32Array>;
}

// --- logger -----------------------------------------------------------------------------------------------------------

/** Takes the numbers of a run. */
export interface LoggerPlugin extends PluginHeader<"logger"> {
  /** Starts a run. */
  open(run: LoggerRun): Promise<Logger>;
}

/** A run to be logged. */
export interface LoggerRun {
  /** Its name. */
  readonly name: string;
  /** Folder for files. */
  readonly folder: string;
  /** Its settings. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** An open log. */
export interface Logger {
  /** Values of a step, e.g. `train/loss_0`. */
  log(step: number, values: Readonly<Record<string, number>>): Promise<void>;
  /** Writes what is left. */
  close(): Promise<void>;
}
