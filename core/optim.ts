/**
 * AdamW as a pair of init and update over a backend, and global-norm clipping without reading back.
 *
 * ```ts ignore
 * const optimizer = adamw(ops, { maxNorm: 1 }); // ops: the module kernels/ops/mod.ts
 * using state = optimizer.init(backend, parameters); // outside of any step's scope
 * const { norm } = optimizer.update(state, { parameters, gradients, lr }); // parameters and state change in place
 * ```
 *
 * @module
 */
import { ShapeError } from "./errors.ts";
import { type Backend, describe, type Op, type Tensor } from "./tensor.ts";

/** Attributes of one AdamW step. */
export interface AdamWStep {
  /** Learning rate. */
  readonly lr: number;
  /** Decay of the first moment. */
  readonly beta1: number;
  /** Decay of the second moment. */
  readonly beta2: number;
  /** Added to the root of the second moment. */
  readonly eps: number;
  /** Decoupled weight decay. */
  readonly weightDecay: number;
  /** Number of this step, from 1. */
  readonly step: number;
}

/**
 * The ops that an optimiser runs. The core imports no kernels, so whoever composes passes them in; the module
 * `kernels/ops/mod.ts` satisfies this as it is (`import * as ops from …`), and so does a plugin's own set.
 */
export interface OptimizerOps {
  /** Sum of the squares of all entries, f32 `[1]`. */
  readonly sumOp: Op<{ readonly square?: boolean }>;
  /** Joins rows. */
  readonly concatOp: Op<{ readonly axis: number }>;
  /** Sums of squares `[N]` → factor `min(1, maxNorm / (norm + 1e-6))` and norm, both `[1]`. */
  readonly clipScaleOp: Op<{ readonly maxNorm: number }>;
  /** (parameter, first moment, second moment, gradient, factor): the first three change in place. */
  readonly adamwOp: Op<AdamWStep>;
}

/** Settings of {@linkcode adamw}; the defaults are torch's. */
export interface AdamWOptions {
  /** Decays of the two moments; 0.9 and 0.999. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment; 1e-8. */
  readonly eps?: number;
  /** Decoupled weight decay of every parameter that has a gradient; 0.01. */
  readonly weightDecay?: number;
  /** Gradients are scaled down to this global norm (torch's `clip_grad_norm_`); not clipped if absent. */
  readonly maxNorm?: number;
}

/** What AdamW remembers of one parameter. */
export interface Moments {
  /** First moment, f32 in the parameter's shape. */
  readonly m: Tensor;
  /** Second moment, alike. */
  readonly v: Tensor;
  /** Steps in which the parameter had a gradient. */
  step: number;
}

/** State of an optimiser, by parameter name. It owns the moments. */
export interface OptimizerState extends Disposable {
  /** The backend that holds the moments. */
  readonly backend: Backend;
  /** Moments by parameter name. */
  readonly moments: ReadonlyMap<string, Moments>;
}

/** What one update works on. */
export interface UpdateCall {
  /** f32 parameters by name; changed in place. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** f32 gradients by name. A parameter without one (missing or `null`) is left alone, decay included. */
  readonly gradients: ReadonlyMap<string, Tensor | null>;
  /** Learning rate of this step. */
  readonly lr: number;
  /** What {@linkcode Optimizer.clip} found of these gradients; found anew when absent. */
  readonly clip?: GradientClip;
}

/** How gradients are scaled down. */
export interface GradientClip {
  /** What each of them is multiplied by, f32 `[1]`. */
  readonly factor: Tensor;
  /** Their global norm before that, f32 `[1]`; no finite number when one of their entries is none. */
  readonly norm: Tensor;
}

/** An optimiser as a pair of functions. */
export interface Optimizer {
  /**
   * Zero moments for each parameter. They belong to the state; make it outside of a scope that ends before the training.
   *
   * @throws {ShapeError} when a parameter is not f32
   */
  init(backend: Backend, parameters: ReadonlyMap<string, Tensor>): OptimizerState;
  /** Measures gradients, so that a step can be left out when they are not finite. Reads nothing back. */
  clip(backend: Backend, gradients: ReadonlyMap<string, Tensor | null>): GradientClip;
  /**
   * One step; reads nothing back.
   *
   * @returns the global norm of the gradients before clipping, f32 `[1]`
   * @throws {ShapeError} when a parameter with a gradient is not one of the state's, or shapes differ
   */
  update(state: OptimizerState, call: UpdateCall): { norm: Tensor };
}

/** A bound that no norm in f32 reaches, small enough that dividing it by 1e-6 is still finite in f32. */
const UNCLIPPED = 1e30;

/** State over moments that are there. */
export function optimizerState(backend: Backend, moments: ReadonlyMap<string, Moments>): OptimizerState {
  return {
    backend,
    moments,
    [Symbol.dispose]() {
      for (const { m, v } of moments.values()) {
        m[Symbol.dispose]();
        v[Symbol.dispose]();
      }
    },
  };
}

/** AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with the order of operations of `torch.optim.AdamW`. */
export function adamw(ops: OptimizerOps, options: AdamWOptions = {}): Optimizer {
  const { betas: [beta1, beta2] = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 } = options;
  const maxNorm = Math.min(options.maxNorm ?? UNCLIPPED, UNCLIPPED);
  const clip: Optimizer["clip"] = (backend, gradients) => {
    using scope = backend.scope();
    const squares = [...gradients.values()].flatMap((gradient) =>
      gradient ? [backend.run(ops.sumOp, [gradient], { square: true })[0]!] : []
    );
    const sums = squares.length === 0
      ? backend.zeros([1])
      : backend.run(ops.concatOp, squares, { axis: 0 })[0]!;
    const [factor, norm] = backend.run(ops.clipScaleOp, [sums], { maxNorm });
    return { factor: scope.keep(factor!), norm: scope.keep(norm!) };
  };
  return {
    init(backend, parameters) {
      const moments = new Map<string, Moments>();
      for (const [name, { shape, dtype }] of parameters) {
        if (dtype !== "f32") {
          throw new ShapeError("adamw", `expected "${name}" as f32, received ${describe({ shape, dtype })}`);
        }
        moments.set(name, { m: backend.zeros(shape), v: backend.zeros(shape), step: 0 });
      }
      return optimizerState(backend, moments);
    },
    clip,
    update(state, { parameters, gradients, lr, clip: found }) {
      const { backend } = state;
      const work = [...gradients].flatMap(([name, gradient]) => {
        if (!gradient) return [];
        const parameter = parameters.get(name), moments = state.moments.get(name);
        if (!parameter || !moments) {
          const known = [...state.moments.keys()].join(", ");
          throw new ShapeError("adamw", `expected a gradient of one of ${known}; received "${name}"`);
        }
        return [{ parameter, moments, gradient }];
      });
      using scope = backend.scope();
      const { factor, norm } = found ?? clip(backend, gradients);
      for (const { parameter, moments, gradient } of work) {
        const step = moments.step + 1;
        backend.run(ops.adamwOp, [parameter, moments.m, moments.v, gradient, factor], {
          lr,
          beta1,
          beta2,
          eps,
          weightDecay,
          step,
        });
        moments.step = step;
      }
      return { norm: found ? norm : scope.keep(norm) };
    },
  };
}
