/** The gate of a SwiGLU layer (Shazeer 2020, arXiv 2002.05202). */
import type { Op, Run, Spec, Tensor } from "../../../core/tensor.ts";
import * as check from "../_check.ts";
import { wasm, wasmGrad } from "./wasm.ts";
import { wgsl, wgslGrad } from "./wgsl.ts";

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
