/** A decoder layer in small, with every op that training runs: to try a tape, an optimiser, a whole backend on. */
import type { Backend, Run, Tensor } from "../../core/tensor.ts";
import * as ops from "../../kernels/ops/mod.ts";
import { normal, randomOf } from "./random.ts";
import { array, type HostArray, toHost } from "./reference/array.ts";

/** Rows, width, vocabulary. */
const T = 24, H = 16, V = 40;

/** The layer's parameters by name, as drawn at the start. */
export function layerParameters(): Map<string, HostArray> {
  const random = randomOf("a layer");
  const shapes: Record<string, number[]> = {
    norm: [H],
    "q_proj.weight": [16, H],
    "k_proj.weight": [8, H],
    "v_proj.weight": [8, H],
    "o_proj.weight": [H, 16],
    "gate_proj.weight": [20, H],
    "up_proj.weight": [20, H],
    "down_proj.weight": [H, 20],
    "lm_head.weight": [V, H],
    "embed.weight": [V, H],
  };
  return new Map(
    Object.entries(shapes).map(([name, shape]) => [name, normal(shape, "f32", 0.25)(random)]),
  );
}

/** What the layer works on, as tensors of a backend. */
export interface LayerBatch {
  /** i32 `[T]`. */
  readonly ids: Tensor;
  /** i32 `[T, 2]`: two documents. */
  readonly ranges: Tensor;
  /** i32 `[T]`. */
  readonly positions: Tensor;
  /** Angles. */
  readonly tables: ops.RopeTables;
  /** f32 `[T, H]`: what the loss compares with. */
  readonly target: Tensor;
  /** bf16 `[V, H]`. */
  readonly targetHead: Tensor;
  /** f32 `[T]`, 0 at the end. */
  readonly weights: Tensor;
}

/** The layer's batch, the same on every backend. */
export function layerBatch(backend: Backend): LayerBatch {
  const random = randomOf("a batch"), half = T / 2;
  const rows = Array.from({ length: T }, (_, t) => t),
    angles = rows.flatMap((t) => [t, t / 10, t / 100, t / 1000]);
  const up = (data: HostArray) => backend.upload(toHost(data));
  return {
    ids: up(array([T], rows.map(() => Math.floor(random() * V)), "i32")),
    ranges: up(array([T, 2], rows.flatMap((t) => [t < half ? 0 : half, t + 1]), "i32")),
    positions: up(array([T], rows.map((t) => t % half), "i32")),
    tables: {
      cos: up(array([T, 4], angles.map((a) => Math.fround(Math.cos(a))))),
      sin: up(array([T, 4], angles.map((a) => Math.fround(Math.sin(a))))),
    },
    target: up(normal([T, H])(random)),
    targetHead: up(normal([V, H], "bf16")(random)),
    weights: up(array([T], rows.map((t) => t < T - 2 ? 1 / T : 0))),
  };
}

/** The loss f32 `[1]`: two passes over the layer, the second over what the first gave, each compared with the target. */
export function layerLoss(run: Run, p: ReadonlyMap<string, Tensor>, batch: LayerBatch): Tensor {
  let x = ops.gather(run, p.get("embed.weight")!, batch.ids);
  const losses: Tensor[] = [];
  for (const shift of [0, 1]) {
    x = layer(run, p, x, batch);
    const hidden = ops.slice(run, x, { axis: 0, start: 0, end: T - shift });
    const { loss } = ops.linearLoss(run, {
      hidden,
      head: p.get("lm_head.weight")!,
      weights: ops.slice(run, batch.weights, { axis: 0, start: 0, end: T - shift }),
      goal: {
        states: ops.slice(run, batch.target, { axis: 0, start: shift, end: T }),
        head: batch.targetHead,
      },
    }, { gradients: true });
    losses.push(loss);
  }
  return ops.total(run, losses);
}

function layer(
  run: Run,
  p: ReadonlyMap<string, Tensor>,
  x: Tensor,
  { tables, positions, ranges }: LayerBatch,
): Tensor {
  const linear = (input: Tensor, name: string) => ops.linear(run, input, p.get(`${name}.weight`)!);
  const turn = (heads: Tensor) => ops.rope(run, heads, tables, positions, 8);
  const normed = ops.rmsnorm(run, x, p.get("norm")!, 1e-5);
  const seen = ops.attention(
    run,
    {
      q: turn(linear(normed, "q_proj")),
      k: turn(linear(normed, "k_proj")),
      v: linear(normed, "v_proj"),
      ranges,
    },
    { heads: 2, kvHeads: 1, headDim: 8, scale: 1 / Math.sqrt(8) },
  );
  const first = ops.add(run, x, linear(seen, "o_proj"));
  const again = ops.rmsnorm(run, first, p.get("norm")!, 1e-5); // the same weight twice
  const gated = ops.swiglu(run, linear(again, "gate_proj"), linear(again, "up_proj"));
  return ops.add(run, first, linear(gated, "down_proj"));
}
