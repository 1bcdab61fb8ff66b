/**
 * Reverse-mode gradients. A {@linkcode Tape} is a `Run` around a backend's: model code that takes a `Run` trains with
 * the one and decodes with the other, unchanged.
 *
 * ```ts ignore
 * using step = backend.scope();
 * const tape = new Tape(backend, ops).watch(parameters); // ops: the module kernels/ops/mod.ts
 * const loss = forward(tape.run, parameters, batch); // f32 [1]
 * const gradients = tape.gradients(loss, parameters); // gradients[i] has the shape of parameters[i]
 * ```
 *
 * Model code must not free what it computes, nor compute in a scope that ends before the gradients are taken: the
 * tape still needs it. Whoever opens the step's scope frees the rest.
 *
 * @module
 */
import { GradientStore } from "./_gradient_store.ts";
import { ShapeError, SpeculatorsError } from "./errors.ts";
import { type Attrs, type Backend, describe, elements, type Op, type Run, type Tensor } from "./tensor.ts";

/** The op that a tape itself runs. The core knows no op, so it is passed in: `kernels/ops/mod.ts` fits as it is. */
export interface TapeOps {
  /** `a + alpha · b` of equal shapes, f32; alpha is 1 if absent. */
  readonly addOp: Op<{ readonly alpha?: number }>;
}

/** One recorded call. `Op` is invariant in its attributes, hence the closure. */
interface Call {
  readonly op: string;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly needs: readonly boolean[];
  readonly grad: ((run: Run, douts: readonly (Tensor | null)[]) => (Tensor | null)[]) | undefined;
}

/** Runs a part of a model, see {@linkcode Tape.part}. */
export type Part = (part: (run: Run) => Tensor[]) => Tensor[];

/**
 * What {@linkcode Tape.part} may keep. One serves all steps of a training: it learns how much parts take.
 *
 * A part is kept where what is alive, the gradients by all watched tensors, and the largest part so far twice over (once
 * kept, once for another that is computed again) fit the limit. The first is not kept, as nothing is known of it. The
 * limit is no guarantee: what a step needs whatever is kept may be more.
 */
export class MemoryBudget {
  readonly #limit: number;
  #largest: number | null = null;

  /** @param limit bytes that may be alive on the backend */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether a part may be kept beside what is needed otherwise. */
  hasRoom(needed: number): boolean {
    return this.#largest !== null && needed + 2 * this.#largest <= this.#limit;
  }

  /** Takes in what a part took. */
  learn(bytes: number): void {
    this.#largest = Math.max(this.#largest ?? 0, bytes);
  }
}

function isFloat({ dtype }: Tensor): boolean {
  return dtype !== "i32" && dtype !== "u8";
}

function fail(verb: string, op: string, found: string, hint: string): SpeculatorsError {
  return new SpeculatorsError("E_TAPE", `Cannot ${verb} "${op}": ${found}`, { hint });
}

/**
 * Records what runs through it, and goes back over it once.
 *
 * Recorded is a call with at least one input whose gradient is wanted: a watched tensor, or a floating-point output of
 * a recorded call. A composed op is one call. Nothing is read back, and the order of all work is fixed.
 */
export class Tape implements Disposable {
  readonly #backend: Backend;
  readonly #ops: TapeOps;
  /** Tensors whose gradient is wanted: the watched ones, and what depends on them. */
  readonly #tracked = new Set<Tensor>();
  /** Tensors that a gradient rule may look at: these must not change. */
  readonly #saved = new Set<Tensor>();
  readonly #kept = new Set<Tensor>();
  readonly #budget: MemoryBudget | null;
  #watched = 0;
  #calls: Call[] = [];
  #spent = false;

  /**
   * A new tape; one serves one call of {@linkcode Tape.gradients}.
   *
   * @param budget what {@linkcode Tape.part} goes by: it keeps everything if absent
   */
  constructor(backend: Backend, ops: TapeOps, budget: MemoryBudget | null = null) {
    this.#backend = backend;
    this.#ops = ops;
    this.#budget = budget;
  }

  /** Marks tensors whose gradients will be asked for. Call it before they are used. */
  watch(tensors: Tensor | Iterable<Tensor>): this {
    for (const tensor of Symbol.iterator in tensors ? tensors : [tensors]) {
      this.#tracked.add(tensor);
      this.#watched += 4 * elements(tensor.shape);
    }
    return this;
  }

  /** Lets a recorded tensor outlive {@linkcode Tape.gradients}, to be read afterwards. */
  keep<T extends Tensor>(tensor: T): T {
    this.#kept.add(tensor);
    return tensor;
  }

  /**
   * Runs an op, and records it where a gradient may be wanted.
   *
   * @throws {SpeculatorsError} `E_TAPE` for an op that changes a tensor in place which the way back needs, or that
   * takes one whose gradient is wanted
   */
  readonly run: Run = (op, inputs, attrs) => {
    const needs = inputs.map((tensor) => this.#tracked.has(tensor));
    const wanted = needs.includes(true);
    for (const j of Object.values(op.alias ?? {})) {
      if (!wanted && !this.#saved.has(inputs[j]!)) continue;
      throw fail(
        "differentiate through",
        op.name,
        `expected inputs that need no gradient, received one that input ${j} is changed by or that is still needed`,
        "Use an op that gives a new tensor, or run this one on the backend outside the tape",
      );
    }
    const outputs = this.#backend.run(op, inputs, attrs);
    if (wanted) this.#record(op, inputs, attrs, outputs, needs);
    return outputs;
  };

  /**
   * Runs a part of a model whose inner tensors need not be kept: where the budget has no room for them they are freed,
   * and computed once more on the way back. The gradients are the same to the bit if, of all tensors whose gradient is
   * wanted, each meets the part in one place (or two).
   *
   * @param part computes outputs from tensors that are there; called twice, it must do the same, and leave nothing but
   * its outputs behind
   */
  readonly part: Part = (part) => {
    const budget = this.#budget, { live } = this.#backend.memory();
    if (!budget) return part(this.run);
    if (!budget.hasRoom(live + this.#watched)) return this.#passing(part, budget);
    const outputs = part(this.run);
    budget.learn(this.#backend.memory().live - live);
    return outputs;
  };

  /** A part of which only the outputs are kept. */
  #passing(part: (run: Run) => Tensor[], budget: MemoryBudget): Tensor[] {
    const backend = this.#backend, before = backend.memory().live, used = new Set<Tensor>();
    using scope = backend.scope();
    const outputs = part((op, inputs, attrs) => {
      for (const tensor of inputs) if (this.#tracked.has(tensor)) used.add(tensor);
      return backend.run(op, inputs, attrs);
    });
    budget.learn(backend.memory().live - before);
    for (const tensor of outputs) scope.keep(tensor);
    const inputs = [...used];
    if (inputs.length === 0) return outputs;
    for (const tensor of outputs) if (isFloat(tensor)) this.#tracked.add(tensor);
    for (const tensor of [...inputs, ...outputs]) this.#saved.add(tensor);
    const grad = (_run: Run, douts: readonly (Tensor | null)[]) => {
      const again = new Tape(backend, this.#ops).watch(inputs), found = part(again.run);
      const seeds = found.flatMap((tensor, i) => douts[i] ? [[tensor, douts[i]] as const] : []);
      return again.#backwards(seeds, inputs);
    };
    this.#calls.push({ op: "part", inputs, outputs, needs: inputs.map(() => true), grad });
    return outputs;
  }

  #record<A extends Attrs>(
    op: Op<A>,
    inputs: readonly Tensor[],
    attrs: A,
    outputs: readonly Tensor[],
    needs: readonly boolean[],
  ): void {
    const floating = outputs.filter(isFloat);
    if (floating.length === 0) return; // an argmax, say: nothing flows back through it
    for (const tensor of floating) this.#tracked.add(tensor);
    for (const tensor of [...inputs, ...outputs]) this.#saved.add(tensor);
    const grad = op.grad &&
      ((run: Run, douts: readonly (Tensor | null)[]) =>
        op.grad!(run, { inputs, outputs, douts, attrs, needs }));
    this.#calls.push({ op: op.name, inputs, outputs, needs, grad });
  }

  /**
   * Gradients of `loss` (f32, one entry) by each tensor of `wrt`, f32 in the tensor's shape; zeros where the loss does
   * not depend on it. See {@linkcode Tape.gradientsIfAny}.
   */
  gradients(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
    const found = this.gradientsIfAny(loss, wrt);
    return found.map((gradient, i) => gradient ?? this.#backend.zeros(wrt[i]!.shape));
  }

  /**
   * Like {@linkcode Tape.gradients}, with `null` where the loss does not depend on a tensor (an optimiser leaves such
   * a parameter alone, decay included). The results are the caller's, each a tensor of its own.
   *
   * On the way back the tape frees every floating-point output that the loss came through as soon as no rule needs it
   * any more, and every gradient once used. Not freed: `wrt`, what {@linkcode Tape.keep} was told of, integers, and
   * outputs of one entry (losses and other metrics are read later).
   *
   * @throws {ShapeError} when the loss is not one f32, or a rule gives a gradient of another shape than its input's
   * @throws {SpeculatorsError} `E_TAPE` for an op on the way that has no gradient, an unwatched `wrt`, or a second call
   */
  gradientsIfAny(loss: Tensor, wrt: readonly Tensor[]): (Tensor | null)[] {
    this.#checkCall(loss, wrt);
    const one = this.#backend.from(Float32Array.of(1), loss.shape);
    return this.#backwards([[loss, one]], wrt, true);
  }

  /** Goes back from tensors with their gradients. */
  #backwards(
    seeds: readonly (readonly [Tensor, Tensor])[],
    wrt: readonly Tensor[],
    owned = false,
  ): (Tensor | null)[] {
    this.#spent = true;
    const spared = new Set([...this.#kept, ...wrt, ...seeds.map(([tensor]) => tensor)]);
    const store = new GradientStore(this.#backend, this.#ops.addOp, new Set(wrt));
    const calls = this.#calls;
    try {
      for (const [tensor, gradient] of seeds) store.add(tensor, gradient, owned);
      for (let call = calls.pop(); call; call = calls.pop()) this.#goBack(call, store, spared);
      return store.results(wrt);
    } catch (error) {
      store.dispose();
      throw error;
    } finally {
      this.#clear();
    }
  }

  #checkCall(loss: Tensor, wrt: readonly Tensor[]): void {
    if (this.#spent) {
      throw fail("run", "gradients", "expected a new tape, received one used before", "Make one tape a step");
    }
    if (loss.dtype !== "f32" || elements(loss.shape) !== 1) {
      throw new ShapeError("gradients", `expected a loss of one f32, received ${describe(loss)}`);
    }
    const stranger = wrt.findIndex((tensor) => !this.#tracked.has(tensor));
    if (stranger >= 0) {
      throw fail(
        "run",
        "gradients",
        `expected tensors that the tape watches, received ${describe(wrt[stranger]!)} at ${stranger}`,
        "Call watch() with it before it is used",
      );
    }
  }

  /** One step of the way back: the call's gradients, then its outputs can go. */
  #goBack(call: Call, store: GradientStore, spared: ReadonlySet<Tensor>): void {
    const douts = call.outputs.map((tensor) => store.take(tensor));
    if (douts.every((gradient) => gradient === null)) return;
    if (!call.grad) {
      throw fail("differentiate", call.op, "expected a gradient rule, received none", "Give the op a grad");
    }
    const found = store.rule(call.inputs, call.outputs, douts, call.grad);
    call.inputs.forEach((tensor, i) => {
      const gradient = found[i];
      if (!gradient || !call.needs[i]) return;
      if (gradient.dtype !== "f32" || gradient.shape.join() !== tensor.shape.join()) {
        throw new ShapeError(
          call.op,
          `expected a gradient by input ${i} as f32[${tensor.shape.join(", ")}], received ${
            describe(gradient)
          }`,
        );
      }
      store.add(tensor, gradient);
    });
    store.release([...found, ...douts]);
    for (const tensor of call.outputs) {
      if (!isFloat(tensor) || elements(tensor.shape) === 1 || spared.has(tensor)) continue;
      if (!call.inputs.includes(tensor)) store.free(tensor);
    }
  }

  #clear(): void {
    this.#calls = [];
    for (const set of [this.#tracked, this.#saved, this.#kept]) set.clear();
  }

  /** Forgets what is recorded. Frees nothing: that is the part of the scope it was computed in. */
  [Symbol.dispose](): void {
    this.#spent = true;
    this.#clear();
  }
}
