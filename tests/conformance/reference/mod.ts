/**
 * The plainest form of every built-in op, in double precision: what each backend is measured against.
 *
 * @module
 */
import { attention, attentionGrad } from "./attention.ts";
import { concat, slice, unslice, writeRows } from "./copy.ts";
import { add, cast, expand, mul, swiglu, swigluGrad } from "./elementwise.ts";
import { clampedSwiglu, expertLinear, expertPlan, mix, route, sinks } from "./experts.ts";
import { gelu, layernorm } from "./vision.ts";
import { gather, scatterAdd } from "./gather.ts";
import { linearLoss, LOSS_ROWS, pointMass } from "./losses.ts";
import { linears, matmul, matmulAdd } from "./matmul.ts";
import { adamw, clipScale } from "./optimizer.ts";
import { growPages, keepPages, pagedAttention, topK, writePages } from "./paged.ts";
import { argmax, sum, sumRows } from "./reduce.ts";
import { rmsnorm, rmsnormGrad, rope } from "./rows.ts";
import type { Reference } from "./types.ts";

/** References by op name. */
export const REFERENCES: Readonly<Record<string, Reference<never>>> = {
  adamw,
  add,
  argmax,
  attention,
  attention_grad: attentionGrad,
  cast,
  clamped_swiglu: clampedSwiglu,
  clip_scale: clipScale,
  concat,
  expand,
  expert_linear: expertLinear,
  expert_plan: expertPlan,
  gather,
  gelu,
  grow_pages: growPages,
  keep_pages: keepPages,
  layernorm,
  ...LOSS_ROWS,
  linear_loss: linearLoss,
  linears,
  matmul,
  matmul_add: matmulAdd,
  paged_attention: pagedAttention,
  top_k: topK,
  write_pages: writePages,
  mix,
  mul,
  point_mass: pointMass,
  rmsnorm,
  rmsnorm_grad: rmsnormGrad,
  rope,
  route,
  scatter_add: scatterAdd,
  sinks,
  slice,
  sum,
  sum_rows: sumRows,
  swiglu,
  swiglu_grad: swigluGrad,
  unslice,
  write_rows: writeRows,
};
