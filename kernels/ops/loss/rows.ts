/**
 * How far a draft's distribution of the next token is from the verifier's, row by row, each with its gradient. All take
 * logits, targets f32 `[R, V]`, weights f32 `[R]` and give loss f32 `[R]` (times the weight) and dlogits f32 `[R, V]`.
 * Rows of weight 0 are not computed: zeros. In the formulas p is the softmax of the targets, q that of the logits, and
 * `α = Σ min(p, q)` the chance that a token drawn from q is accepted (Leviathan et al. 2023, arXiv 2211.17192).
 */
import type { Op } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasmKl, wasmLoss } from "./wasm.ts";
import { wgslKl, wgslLoss } from "./wgsl.ts";

type None = Record<never, never>;

function rowsOp(name: string, code: Pick<Op<None>, "wgsl" | "wasm">): Op<None> {
  return {
    name,
    infer(inputs) {
      const [logits, targets, weights] = [0, 1, 2].map((i) => check.input(name, inputs, i));
      check.dtype(name, "logits", logits!, ["f32"]);
      const [rows] = check.matrix(name, "logits", logits!);
      check.dtype(name, "targets", targets!, ["f32"]);
      check.shape(name, "targets", targets!, logits!.shape);
      check.dtype(name, "weights", weights!, ["f32"]);
      check.shape(name, "weights", weights!, [rows]);
      return [{ shape: [rows], dtype: "f32" }, logits!];
    },
    ...code,
  };
}

/** Divergence from the verifier, `Σ p (log p − log q)`. */
export const klRowsOp: Op<None> = rowsOp("kl_rows", { wgsl: wgslKl, wasm: wasmKl });

/** Divergence from the draft, `Σ q (log q − log p)`: prefers few of the verifier's tokens to covering them all. */
export const reverseKlRowsOp: Op<None> = rowsOp("reverse_kl_rows", {
  wgsl: wgslLoss("reverse_kl"),
  wasm: wasmLoss("reverse_kl"),
});

/** Jensen-Shannon divergence, `½ KL(p ‖ m) + ½ KL(q ‖ m)` with `m = (p + q) / 2` (Lin 1991). */
export const jensenShannonRowsOp: Op<None> = rowsOp("jensen_shannon_rows", {
  wgsl: wgslLoss("jensen_shannon"),
  wasm: wasmLoss("jensen_shannon"),
});

/** Cross-entropy with the verifier's likeliest token, `−log q`; of equal targets the lowest is meant. */
export const crossEntropyRowsOp: Op<None> = rowsOp("cross_entropy_rows", {
  wgsl: wgslLoss("cross_entropy"),
  wasm: wasmLoss("cross_entropy"),
});

/** Total variation, `½ Σ |p − q| = 1 − α`: what rejection sampling refuses. */
export const totalVariationRowsOp: Op<None> = rowsOp("total_variation_rows", {
  wgsl: wgslLoss("total_variation"),
  wasm: wasmLoss("total_variation"),
});

/**
 * `−log max(α, 1e-5)`: total variation's gradient times 1 / α, which is large where little is accepted; below the bound
 * there is no gradient (Samarin et al. 2026, arXiv 2602.23881).
 */
export const acceptanceRowsOp: Op<None> = rowsOp("acceptance_rows", {
  wgsl: wgslLoss("acceptance"),
  wasm: wasmLoss("acceptance"),
});

/**
 * `λ KL(p ‖ q) + (1 − λ) (1 − α)` with `λ = e^(−3 α)`, no gradient through λ: divergence while little is accepted, then
 * total variation (arXiv 2602.23881, the hybrid objective with its best η, 3).
 */
export const hybridRowsOp: Op<None> = rowsOp("hybrid_rows", {
  wgsl: wgslLoss("hybrid"),
  wasm: wasmLoss("hybrid"),
});
