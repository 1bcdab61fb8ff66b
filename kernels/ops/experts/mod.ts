/**
 * Mixtures of experts: which experts a row goes to, products with the weights of those only, and their weighted sum. Rows are
 * put in the order of their experts first, so a weight is read once for all rows that want it.
 *
 * These ops have no gradients, and a tape refuses them: only verifiers have experts, and those are not trained.
 */
import { ShapeError } from "../../../core/errors.ts";
import { describe, type Op, type Run, type Spec, type Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasmLinear, wasmMix, wasmPlan, wasmRoute } from "./wasm.ts";
import { wgslLinear, wgslMix, wgslPlan, wgslRoute } from "./wgsl.ts";

/** Experts of one layer at most, on any backend. */
export const MAX_EXPERTS = 1024;

/** Rows of one expert that are worked together; the same number stands in the kernels. */
export const EXPERT_TILE = 16;

/** Attributes of {@linkcode routeOp}. */
export interface RouteAttrs {
  /** Experts a row goes to. */
  readonly count: number;
  /** The softmax is over all experts, not over the chosen ones: then a row's weights sum to less than 1. */
  readonly overAll?: boolean;
}

/**
 * logits f32 `[T, E]` → experts i32 `[T, count]`, weights f32 `[T, count]`: the largest logits of each row, the lowest number
 * first among equals, and their shares.
 */
export const routeOp: Op<RouteAttrs> = {
  name: "route",
  infer(inputs, { count }) {
    const logits = check.input("route", inputs, 0);
    check.dtype("route", "logits", logits, ["f32"]);
    const [rows, experts] = check.matrix("route", "logits", logits);
    checkCount("route", experts);
    if (!Number.isInteger(count) || count < 1 || count > experts) {
      throw new ShapeError("route", `expected a count from 1 to ${experts} experts, received ${count}`);
    }
    return [{ shape: [rows, count], dtype: "i32" }, { shape: [rows, count], dtype: "f32" }];
  },
  wgsl: wgslRoute,
  wasm: wasmRoute,
};

function checkCount(op: string, experts: number): void {
  if (!Number.isInteger(experts) || experts < 1 || experts > MAX_EXPERTS) {
    throw new ShapeError(op, `expected from 1 to ${MAX_EXPERTS} experts, received ${experts}`);
  }
}

/** Attributes of {@linkcode expertPlanOp}. */
export interface ExpertPlanAttrs {
  /** Experts there are. */
  readonly experts: number;
}

/** Tiles that so many rows may fall into. */
export function planTiles(rows: number, experts: number): number {
  return Math.floor(rows / EXPERT_TILE) + Math.min(rows, experts);
}

/**
 * experts i32 `[T, count]`, numbers from 0 → plan i32 `[T·count + 3·tiles]`. A row here is a choice, `t · count + k`. First
 * come the rows in the order of their experts; then, for each tile, its expert, its first place in that order, and its rows, at
 * most {@linkcode EXPERT_TILE}. Tiles that are not needed have no rows and are the last.
 */
export const expertPlanOp: Op<ExpertPlanAttrs> = {
  name: "expert_plan",
  infer(inputs, { experts }) {
    const chosen = check.input("expert_plan", inputs, 0);
    check.dtype("expert_plan", "experts", chosen, ["i32"]);
    const [t, count] = check.matrix("expert_plan", "experts", chosen), rows = t * count;
    checkCount("expert_plan", experts);
    return [{ shape: [rows + 3 * planTiles(rows, experts)], dtype: "i32" }];
  },
  wgsl: wgslPlan,
  wasm: wasmPlan,
};

/** Attributes of {@linkcode expertLinearOp}. */
export interface ExpertLinearAttrs {
  /** Choices for each row of x: row r of the output comes from row `floor(r / repeat)` of x. */
  readonly repeat: number;
  /** The weights are `[E, in, out]`, not `[E, out, in]` as a linear layer's. */
  readonly inputFirst?: boolean;
  /** The last input is a bias, f32 `[E, out]`. */
  readonly bias?: boolean;
}

/** Sizes of a product with experts' weights, checked. */
export interface ExpertSizes {
  readonly rows: number;
  readonly experts: number;
  readonly depth: number;
  readonly columns: number;
  /** The weights are MXFP4: blocks, and their scales as the next input. */
  readonly packed: boolean;
}

/** Checks the inputs of {@linkcode expertLinearOp}. */
export function expertSizes(inputs: readonly Spec[], attrs: ExpertLinearAttrs): ExpertSizes {
  const op = "expert_linear",
    [x, plan, weight] = [0, 1, 2].map((i) => check.input(op, inputs, i)) as [
      Spec,
      Spec,
      Spec,
    ];
  const { repeat, inputFirst = false, bias = false } = attrs;
  check.dtype(op, "x", x, ["f32"]);
  const [given, depth] = check.matrix(op, "x", x), rows = given * repeat;
  check.dtype(op, "weight", weight, [...check.WEIGHT_DTYPES, "u8"]);
  const packed = weight.dtype === "u8", experts = weight.shape[0] ?? 0;
  checkCount(op, experts);
  const columns = (inputFirst ? weight.shape[2] : weight.shape[1]) ?? 0;
  if (packed) {
    if (inputFirst || depth % 32 !== 0) {
      throw new ShapeError(op, `expected rows of whole blocks of 32, received ${describe(x)}`);
    }
    check.shape(op, "weight", weight, [experts, columns, depth / 32, 16]);
    const scales = check.input(op, inputs, 3);
    check.dtype(op, "scales", scales, ["u8"]);
    check.shape(op, "scales", scales, [experts, columns, depth / 32]);
  } else {check.shape(
      op,
      "weight",
      weight,
      inputFirst ? [experts, depth, columns] : [experts, columns, depth],
    );}
  if (bias) {
    const added = check.input(op, inputs, packed ? 4 : 3);
    check.dtype(op, "bias", added, ["f32"]);
    check.shape(op, "bias", added, [experts, columns]);
  }
  check.dtype(op, "plan", plan, ["i32"]);
  check.shape(op, "plan", plan, [rows + 3 * planTiles(rows, experts)]);
  return { rows, experts, depth, columns, packed };
}

/**
 * x f32 `[R / repeat, in]`, plan, weight of R rows' experts → f32 `[R, out]`: each row times the weight of its expert, plus its
 * bias. The weight is f32, bf16 or f16, or MXFP4 as published checkpoints store it: blocks u8 `[E, out, in/32, 16]`, and
 * scales u8 `[E, out, in/32]` as the next input.
 */
export const expertLinearOp: Op<ExpertLinearAttrs> = {
  name: "expert_linear",
  infer(inputs, attrs) {
    const { rows, columns } = expertSizes(inputs, attrs);
    return [{ shape: [rows, columns], dtype: "f32" }];
  },
  wgsl: wgslLinear,
  wasm: wasmLinear,
};

/** rows f32 `[T, H]`, y f32 `[T·count, H]`, weights f32 `[T, count]` → `rows[t] + Σ weights[t][k] · y[t·count + k]`. */
export const mixOp: Op<Record<never, never>> = {
  name: "mix",
  infer(inputs) {
    const [rows, y, weights] = [0, 1, 2].map((i) => check.input("mix", inputs, i)) as [Spec, Spec, Spec];
    const [t, width] = check.matrix("mix", "rows", rows);
    for (const [name, spec] of [["rows", rows], ["y", y], ["weights", weights]] as const) {
      check.dtype("mix", name, spec, ["f32"]);
    }
    check.shape("mix", "weights", weights, [t, -1]);
    check.shape("mix", "y", y, [t * weights.shape[1]!, width]);
    return [rows];
  },
  wgsl: wgslMix,
  wasm: wasmMix,
};

/** Which experts each row goes to, with which weights; see {@linkcode routeOp}. */
export function route(
  run: Run,
  logits: Tensor,
  attrs: RouteAttrs,
): { readonly experts: Tensor; readonly weights: Tensor } {
  const [experts, weights] = run(routeOp, [logits], attrs) as [Tensor, Tensor];
  return { experts, weights };
}

/** The rows of each expert; see {@linkcode expertPlanOp}. */
export function expertPlan(run: Run, chosen: Tensor, experts: number): Tensor {
  return check.first(run(expertPlanOp, [chosen], { experts }));
}

/** The weights of a layer's experts. */
export interface ExpertWeights {
  /** `[E, out, in]`, or `[E, in, out]` with `inputFirst`; with scales, u8 `[E, out, in/32, 16]`. */
  readonly weight: Tensor;
  /** u8 `[E, out, in/32]`: the weight is MXFP4. */
  readonly scales?: Tensor;
  /** f32 `[E, out]`. */
  readonly bias?: Tensor;
  /** The weights are `[E, in, out]`. */
  readonly inputFirst?: boolean;
}

/** Each row times the weight of its expert; see {@linkcode expertLinearOp}. */
export function expertLinear(
  run: Run,
  x: Tensor,
  { plan, weights, repeat = 1 }: {
    readonly plan: Tensor;
    readonly weights: ExpertWeights;
    readonly repeat?: number;
  },
): Tensor {
  const { weight, scales, bias, inputFirst = false } = weights;
  const inputs = [x, plan, weight, ...scales ? [scales] : [], ...bias ? [bias] : []];
  return check.first(run(expertLinearOp, inputs, { repeat, inputFirst, bias: bias !== undefined }));
}

/** `rows` plus the weighted sum of what their experts give; see {@linkcode mixOp}. */
export function mix(run: Run, rows: Tensor, y: Tensor, weights: Tensor): Tensor {
  return check.first(run(mixOp, [rows, y, weights], {}));
}
