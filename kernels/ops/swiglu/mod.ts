/** The gate of a SwiGLU layer (Shazeer 2020, arXiv 2002.05202). */
import { ShapeError } from "../../../core/errors.ts";
import { describe, type Op, type Run, type Spec, type Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasm, wasmClamped, wasmGrad } from "./wasm.ts";
import { wgsl, wgslClamped, wgslGrad } from "./wgsl.ts";

function checked(op: string, inputs: readonly Spec[], count: number): Spec {
  const gate = check.input(op, inputs, 0);
  for (let i = 0; i < count; i++) {
    const spec = check.input(op, inputs, i);
    check.dtype(op, ["gate", "up", "dout"][i]!, spec, ["f32"]);
    check.shape(op, ["gate", "up", "dout"][i]!, spec, gate.shape);
  }
  return gate;
}

/** `silu(gate) · up`, f32 of equal shapes; `silu(x) = x / (1 + e⁻ˣ)`. */
export const swigluOp: Op<Record<never, never>> = {
  name: "swiglu",
  infer: (inputs) => [checked("swiglu", inputs, 2)],
  wgsl,
  wasm,
  grad(run, { inputs, douts }) {
    return douts[0] ? run(swigluGradOp, [inputs[0]!, inputs[1]!, douts[0]], {}) : [null, null];
  },
};

/** Gradients of {@linkcode swigluOp}: (gate, up, dout) → (dgate, dup). */
export const swigluGradOp: Op<Record<never, never>> = {
  name: "swiglu_grad",
  infer(inputs) {
    const spec = checked("swiglu_grad", inputs, 3);
    return [spec, spec];
  },
  wgsl: wgslGrad,
  wasm: wasmGrad,
};

/** `silu(gate) · up`. */
export function swiglu(run: Run, gate: Tensor, up: Tensor): Tensor {
  return check.first(run(swigluOp, [gate, up], {}));
}

/** Attributes of {@linkcode clampedSwigluOp}. */
export interface ClampedSwigluAttrs {
  /** Factor of the gate in the sigmoid. */
  readonly alpha: number;
  /** Largest gate, and largest magnitude of `up`. */
  readonly limit: number;
}

/**
 * gpt-oss's gate (arXiv 2508.10925): x f32 `[R, 2·I]`, gates at even places and ups at odd ones → f32 `[R, I]`,
 * `(up + 1) · gate · σ(alpha · gate)` with `gate ≤ limit` and `−limit ≤ up ≤ limit`.
 *
 * Without a gradient, and refused by a tape: only verifiers have it, and those are not trained.
 */
export const clampedSwigluOp: Op<ClampedSwigluAttrs> = {
  name: "clamped_swiglu",
  infer(inputs) {
    const x = check.input("clamped_swiglu", inputs, 0);
    check.dtype("clamped_swiglu", "x", x, ["f32"]);
    const [rows, width] = check.matrix("clamped_swiglu", "x", x);
    if (width % 2 !== 0) {
      throw new ShapeError("clamped_swiglu", `expected "x" in pairs, received ${describe(x)}`);
    }
    return [{ shape: [rows, width / 2], dtype: "f32" }];
  },
  wgsl: wgslClamped,
  wasm: wasmClamped,
};

/** The clamped gate; see {@linkcode clampedSwigluOp}. */
export function clampedSwiglu(run: Run, x: Tensor, attrs: ClampedSwigluAttrs): Tensor {
  return check.first(run(clampedSwigluOp, [x], attrs));
}
