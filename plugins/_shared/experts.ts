/** A mixture of experts in the place of a layer's MLP. */
import type { Run, Tensor } from "../../core/tensor.ts";
import {
  add,
  expertLinear,
  expertPlan,
  type ExpertWeights,
  linear,
  mix,
  route,
  type RouteAttrs,
  swiglu,
} from "../../kernels/ops/mod.ts";
import type { FeedForward } from "./decoder.ts";

/** The products of one layer's experts; row r of x is the choice `floor(r / repeat)` of the plan. */
export type ExpertProduct = (x: Tensor, weights: ExpertWeights, repeat?: number) => Tensor;

/** A layer's experts. */
export interface Experts {
  /** `[E, hidden]`: the logits that choose. */
  readonly router: Tensor;
  /** f32 `[E]`, added to those. */
  readonly routerBias?: Tensor;
  /** How the experts are chosen and weighted. */
  readonly choice: RouteAttrs;
  /** What the chosen experts give: f32 `[T, hidden]` → f32 `[T · count, hidden]`. */
  compute(run: Run, x: Tensor, product: ExpertProduct): Tensor;
}

/** The block: `rows + Σ weight · expert(x)` over each row's experts. Only the weights of chosen experts are read. */
export function expertsBlock({ router, routerBias, choice, compute }: Experts): FeedForward {
  return (run, rows, { x }) => {
    const scores = linear(run, x, router), logits = routerBias ? add(run, scores, routerBias) : scores;
    const { experts, weights } = route(run, logits, choice);
    const plan = expertPlan(run, experts, router.shape[0]!);
    const product: ExpertProduct = (x, weights, repeat = 1) =>
      expertLinear(run, x, { plan, weights, repeat });
    return mix(run, rows, compute(run, x, product), weights);
  };
}

/** Experts that are gated MLPs, each weight `[E, out, in]`: `down(silu(gate x) · up x)`. */
export function gatedExperts(
  weights: { readonly gate: Tensor; readonly up: Tensor; readonly down: Tensor },
  count: number,
): Experts["compute"] {
  const { gate, up, down } = weights;
  return (run, x, product) => {
    const inner = swiglu(run, product(x, { weight: gate }, count), product(x, { weight: up }, count));
    return product(inner, { weight: down });
  };
}
