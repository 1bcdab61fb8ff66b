/** The gate of a SwiGLU layer on the CPU. */
import { elements } from "../../../core/tensor.ts";
import type { Wasm } from "../_wasm.ts";

/** Entries worth a thread's while: an exponential each. */
const GRAIN = 1024;

/** (gate, up) → silu(gate) · up. */
export const wasm: Wasm<Record<never, never>> = (call, inputs, outputs) => {
  const args = [...inputs, ...outputs].map((tensor) => call.address(tensor));
  call.launch("swiglu", args, elements(inputs[0]!.shape), GRAIN);
};

/** (gate, up, dout) → (dgate, dup). */
export const wasmGrad: Wasm<Record<never, never>> = (call, inputs, outputs) => {
  const args = [...inputs, ...outputs].map((tensor) => call.address(tensor));
  call.launch("swiglu_grad", args, elements(inputs[0]!.shape), GRAIN);
};
