/** A draft in training on a device: one step, one validation, what a checkpoint keeps. */
import { computeTensors } from "../compute_dtype.ts";
import type { PackedBatch } from "../data/batch.ts";
import { downloadDraft, type DraftTensors, uploadDraft } from "../draft_tensors.ts";
import { AbortedError, PluginError, SpeculatorsError } from "../errors.ts";
import { adamw, type GradientClip, type Optimizer, type OptimizerState } from "../optim.ts";
import { exportState, importState } from "../optim_state.ts";
import type { LossResult, LossTerm, Objective } from "../plugin.ts";
import type { Runtime } from "../runtime.ts";
import { MemoryBudget, type Part, Tape } from "../tape.ts";
import type { Backend, HostTensor, Tensor, TypedArray } from "../tensor.ts";
import { withSimulation } from "./_train_metrics.ts";
import type { NamedBatch } from "./batches.ts";
import type { PreparedDraft } from "./draft_setup.ts";
import type { TrainSettings } from "./train_options.ts";

/** Appends work; what it keeps outlives it, and `extra` (which it keeps itself) is read as metrics too. */
type Work = (keep: (tensor: Tensor) => Tensor) => {
  readonly result: LossResult;
  readonly extra?: Readonly<Record<string, Tensor>>;
};

/** A model, its optimiser, and where they compute. */
export class TrainModel implements Disposable {
  /** Where it computes; the caller's. */
  readonly backend: Backend;
  readonly #runtime: Runtime;
  readonly #draft: PreparedDraft;
  readonly #settings: TrainSettings;
  readonly #budget: MemoryBudget | null;
  readonly #tensors: DraftTensors;
  readonly #objectives: { readonly train: Objective; readonly validation: Objective };
  readonly #optimizer: Optimizer;
  readonly #moments: OptimizerState;

  /**
   * @param moments of a run that goes on; zeros when `null`
   * @param memoryLimit bytes that a step may take on the device where that can be had by computing parts of it again
   */
  constructor(
    backend: Backend,
    draft: PreparedDraft,
    { runtime, settings, moments, loss, memoryLimit }: {
      readonly runtime: Runtime;
      readonly loss: readonly LossTerm[] | undefined;
      readonly settings: TrainSettings;
      readonly moments: ReadonlyMap<string, HostTensor> | null;
      readonly memoryLimit?: number | undefined;
    },
  ) {
    this.backend = backend;
    this.#runtime = runtime;
    this.#draft = draft;
    this.#settings = settings;
    this.#budget = memoryLimit === undefined ? null : new MemoryBudget(memoryLimit);
    const { draft: { extra }, tttStepLossDecay, tttSteps, useOffPolicyTokens } = settings;
    const options = { tttSteps, tttStepLossDecay, ...(extra ? { extra } : {}), ...(loss ? { loss } : {}) };
    this.#objectives = {
      train: draft.objective({ ...options, useOffPolicyTokens }),
      validation: draft.objective({ ...options, useOffPolicyTokens: false }),
    };
    this.#optimizer = adamw(runtime.ops, {
      maxNorm: settings.maxGradNorm,
      weightDecay: settings.weightDecay,
    });
    using stack = new DisposableStack();
    this.#tensors = stack.use(uploadDraft(backend, draft.host, draft.infos));
    this.#moments = moments
      ? importState(backend, moments)
      : this.#optimizer.init(backend, this.#tensors.trained);
    stack.move();
  }

  /**
   * One step. The loss and the gradients' norm are read first: when they are not finite, nothing is changed.
   *
   * @returns the metrics, `grad_norm` among them, and whether the step was taken
   */
  async step(batch: PackedBatch, lr: number): Promise<{ values: Record<string, number>; taken: boolean }> {
    const { backend } = this, { trained } = this.#tensors, names = [...trained.keys()];
    using kept = new DisposableStack();
    let work: { gradients: Map<string, Tensor | null>; clip: GradientClip } | undefined;
    const values = await this.#append((keep) => {
      const parameters = [...trained.values()];
      const tape = new Tape(backend, this.#runtime.ops, this.#budget).watch(parameters);
      const { part } = tape;
      const result = this.#loss(tape.run, this.#objectives.train, { batch, gradients: true, part });
      for (const tensor of Object.values(result.outputs)) tape.keep(tensor);
      const list = tape.gradientsIfAny(result.loss, parameters);
      const gradients = new Map(names.map((name, i) => [name, list[i]!]));
      const clip = this.#optimizer.clip(backend, gradients);
      for (const tensor of [...list, clip.factor, clip.norm]) if (tensor) kept.use(keep(tensor));
      work = { gradients, clip };
      return { result, extra: { grad_norm: clip.norm } };
    });
    const taken = Number.isFinite(values["loss"]) && Number.isFinite(values["grad_norm"]);
    if (taken) this.#optimizer.update(this.#moments, { parameters: trained, lr, ...work! });
    return { values: withSimulation(values), taken };
  }

  /**
   * Metrics over held-out samples, averaged over batches; `null` when there are none.
   *
   * @throws {AbortedError} when asked to stop
   */
  async validate(batches: AsyncIterable<NamedBatch>): Promise<Record<string, number> | null> {
    const sums: Record<string, number> = {};
    let count = 0;
    for await (const { batch } of batches) {
      if (this.#runtime.signal?.aborted) throw new AbortedError();
      if (!batch) continue;
      const found = await this.#append(() => ({
        result: this.#loss(this.backend.run, this.#objectives.validation, { batch, gradients: false }),
      }));
      for (const [name, value] of Object.entries(found)) sums[name] = (sums[name] ?? 0) + value;
      count++;
    }
    const mean = Object.entries(sums).map(([name, sum]) => [name, sum / count]);
    return count === 0 ? null : withSimulation(Object.fromEntries(mean));
  }

  /** The draft's tensors and the optimiser's, in plain memory. */
  async export(): Promise<{ tensors: Map<string, HostTensor>; moments: Map<string, HostTensor> }> {
    return {
      tensors: await downloadDraft(this.#tensors, this.#draft.host, this.#draft.infos),
      moments: await exportState(this.#moments),
    };
  }

  [Symbol.dispose](): void {
    this.#moments[Symbol.dispose]();
    this.#tensors[Symbol.dispose]();
  }

  #loss(
    run: Backend["run"],
    objective: Objective,
    input: { readonly batch: PackedBatch; readonly gradients: boolean; readonly part?: Part },
  ): LossResult {
    const tensors = computeTensors(run, this.#tensors, {
      dtype: this.#settings.dtype,
      ops: this.#runtime.ops,
    });
    return objective.loss(run, { backend: this.backend, tensors, ...input });
  }

  /** Appends a plugin's work inside a scope, and reads what the metrics are made of. */
  async #append(work: Work): Promise<Record<string, number>> {
    const { result, extra, outputs } = this.#scoped(work), names = Object.keys(outputs);
    let data: TypedArray[];
    try {
      data = await this.backend.readAll([...Object.values(outputs), ...Object.values(extra)]);
    } finally {
      for (const tensor of Object.values(outputs)) tensor[Symbol.dispose]();
    }
    const metrics = { ...result.metrics(Object.fromEntries(names.map((name, i) => [name, data[i]!]))) };
    for (const [i, name] of Object.keys(extra).entries()) metrics[name] = data[names.length + i]![0]!;
    return metrics;
  }

  #scoped(work: Work) {
    using scope = this.backend.scope();
    try {
      const { result, extra = {} } = work((tensor) => scope.keep(tensor));
      const outputs = Object.fromEntries(
        Object.entries(result.outputs).map(([name, tensor]) => [name, scope.keep(tensor)]),
      );
      return { result, extra, outputs };
    } catch (cause) {
      if (cause instanceof SpeculatorsError) throw cause;
      throw new PluginError(this.#settings.speculatorType, "it failed while computing the loss", { cause });
    }
  }
}
