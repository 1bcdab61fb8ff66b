/** The contract of a draft: it proposes tokens, and says how it is trained. */
import type { DraftConverter } from "../conversion.ts";
import type { PackedBatch } from "../data/batch.ts";
import type { FileSpec, TensorSource } from "../formats/source.ts";
import type { Part } from "../tape.ts";
import type { Backend, HostTensor, Run, Tensor, TypedArray } from "../tensor.ts";
import type { PluginHeader } from "./header.ts";
import type { LossTerm } from "./loss.ts";
import type {
  DraftTensorInfo,
  SpeculatorConfig,
  StandardSchema,
  VerifierInfo,
  VerifierWeights,
  VocabularyMap,
} from "./shared.ts";

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
  /** What only this algorithm knows: what the user gave as {@linkcode DraftOptions.extra}. */
  readonly extra?: Readonly<Record<string, unknown>>;
  /** How the draft's distribution is compared with the verifier's: the sum of these; the algorithm's own when absent. */
  readonly loss?: readonly LossTerm[];
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
  /**
   * Runs a part of the model so that its inner tensors need not be kept until the way back (`Tape.part`): a step or a
   * layer, say. All is kept where it is absent or not used.
   */
  readonly part?: Part;
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

/** One of several sequences that learn something at once. */
export interface ProposeRow extends Omit<ProposeInput, "hidden"> {
  /** The sequence. */
  readonly session: ProposerSession;
}

/** What several sequences learn at once. */
export interface ProposeAllInput {
  /** The sequences. Each has `history.length − 1 − position` rows. */
  readonly sequences: readonly ProposeRow[];
  /** The captured states of {@linkcode DraftNeeds.layers}, f32 `[rows of all sequences, hidden]` each, one sequence after another. */
  readonly hidden: readonly Tensor[];
}

/** Proposals for several sequences. */
export interface Proposals {
  /** i32 `[n]`, ids of the verifier, one sequence after another. Owned by the caller of {@linkcode Proposer.proposeAll}. */
  readonly tokens: Tensor;
  /** For each sequence the parents of its tokens, as in {@linkcode Proposal}. */
  readonly parents: readonly (readonly number[])[];
}

/** A draft ready to propose. */
export interface Proposer extends Disposable {
  /** Begins a sequence of at most `capacity` tokens. */
  start(capacity: number): ProposerSession;
  /**
   * As {@linkcode ProposerSession.propose} of each session, in one go: several sequences cost little more than one, and none
   * of them notices the others. Without it they are asked one by one. A draft that proposes trees may read what it needs to
   * know to go on, and then gives a promise; a scope that is open meanwhile is its own.
   */
  proposeAll?(input: ProposeAllInput): Proposals | Promise<Proposals>;
}

/** How a draft shall propose. */
export interface ProposerOptions {
  /**
   * Propose trees: at each of `depth` levels the `topK` most likely continuations of the `topK` most likely nodes are looked at,
   * and the best ones of all are proposed (Eagle-2, Li et al. 2024, arXiv 2406.16858). A draft that cannot proposes chains.
   */
  readonly tree?: { readonly topK: number; readonly depth: number };
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
    options?: ProposerOptions,
  ): Proposer;
  /** Foreign checkpoints that it reads and writes; none when absent. */
  converters?(): readonly DraftConverter[];
  /** What vLLM's loader would refuse in a checkpoint, a sentence each; unknown when absent. */
  servingProblems?(config: C, tensors: ReadonlyMap<string, FileSpec>): readonly string[];
}
