/**
 * The gradients under way in one pass back over a tape, and who frees them. A rule may return the tensor it was given,
 * one tensor for two inputs, or an output of the forward call: so each is counted, and freed by the last that lets go.
 */
import type { Backend, Op, Run, Tensor } from "./tensor.ts";

/** A gradient rule with everything but the run and the outputs' gradients filled in. */
export type Rule = (run: Run, douts: readonly (Tensor | null)[]) => (Tensor | null)[];

/** Gradients by tensor. */
export class GradientStore {
  readonly #backend: Backend;
  readonly #add: Op<{ readonly alpha?: number }>;
  /** Tensors whose gradient is a result: taking it leaves it here. */
  readonly #results: ReadonlySet<Tensor>;
  readonly #found = new Map<Tensor, Tensor>();
  /** How many slots hold a gradient, and how often it is in hand. */
  readonly #uses = new Map<Tensor, number>();
  /** Tensors that are freed when their last use ends; a parameter returned as a gradient is none. */
  readonly #owned = new Set<Tensor>();

  constructor(backend: Backend, add: Op<{ readonly alpha?: number }>, results: ReadonlySet<Tensor>) {
    this.#backend = backend;
    this.#add = add;
    this.#results = results;
  }

  /** Adds to the gradient by a tensor. */
  add(tensor: Tensor, gradient: Tensor, owned = false): void {
    if (owned) this.#owned.add(gradient);
    const before = this.#found.get(tensor);
    if (!before) return this.#put(tensor, gradient);
    const sum = this.#backend.run(this.#add, [before, gradient], {})[0]!;
    this.#owned.add(sum);
    this.#put(tensor, sum);
    this.release([before]);
  }

  /** The gradient by a tensor, no longer stored unless it is a result; give it to {@linkcode release} after use. */
  take(tensor: Tensor): Tensor | null {
    const gradient = this.#found.get(tensor);
    if (!gradient) return null;
    if (this.#results.has(tensor)) this.#hold(gradient);
    else this.#found.delete(tensor);
    return gradient;
  }

  /** Runs a rule; what it computes and does not return is freed. Release what it returns after use. */
  rule(
    inputs: readonly Tensor[],
    outputs: readonly Tensor[],
    douts: readonly (Tensor | null)[],
    grad: Rule,
  ): (Tensor | null)[] {
    const known = new Set([...inputs, ...outputs, ...douts]);
    using scope = this.#backend.scope();
    const found = grad(this.#backend.run, douts);
    for (const gradient of new Set(found)) {
      if (!gradient || known.has(gradient)) continue;
      scope.keep(gradient);
      this.#owned.add(gradient);
    }
    for (const gradient of found) if (gradient) this.#hold(gradient);
    return found;
  }

  /** Ends one use of each. */
  release(gradients: readonly (Tensor | null)[]): void {
    for (const gradient of gradients) {
      if (!gradient) continue;
      this.#uses.set(gradient, this.#uses.get(gradient)! - 1);
      this.#sweep(gradient);
    }
  }

  /** Frees a tensor of the forward pass, at once or when its use as a gradient ends. */
  free(tensor: Tensor): void {
    this.#owned.add(tensor);
    this.#sweep(tensor);
  }

  /** The gradients asked for, each a tensor of its own that the caller frees. */
  results(wrt: readonly Tensor[]): (Tensor | null)[] {
    const given = new Set<Tensor>();
    return wrt.map((tensor) => {
      const gradient = this.#found.get(tensor);
      if (!gradient) return null;
      const own = this.#owned.has(gradient) && !given.has(gradient);
      const result = own ? gradient : this.#copy(gradient);
      given.add(result);
      return result;
    });
  }

  /** Frees every gradient: the way out after an error. */
  dispose(): void {
    for (const gradient of [...this.#owned]) this.#dispose(gradient);
    this.#found.clear();
  }

  #copy(gradient: Tensor): Tensor {
    using zeros = this.#backend.zeros(gradient.shape);
    return this.#backend.run(this.#add, [gradient, zeros], {})[0]!;
  }

  #put(tensor: Tensor, gradient: Tensor): void {
    this.#found.set(tensor, gradient);
    this.#hold(gradient);
  }

  #hold(gradient: Tensor): void {
    this.#uses.set(gradient, (this.#uses.get(gradient) ?? 0) + 1);
  }

  #sweep(gradient: Tensor): void {
    if (this.#owned.has(gradient) && !this.#uses.get(gradient)) this.#dispose(gradient);
  }

  #dispose(gradient: Tensor): void {
    this.#owned.delete(gradient);
    this.#uses.delete(gradient);
    gradient[Symbol.dispose]();
  }
}
