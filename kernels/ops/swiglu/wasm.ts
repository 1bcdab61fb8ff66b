/** The gate of a SwiGLU layer on the CPU. */
import { elements } from "../../../core/tensor.ts";
import type { Wasm } from "../_wasm.ts";
import type { ClampedSwigluAttrs } from "./mod.ts";

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

/** Interleaved gates and ups → the clamped gate. */
export const wasmClamped: Wasm<ClampedSwigluAttrs> = (call, [x], [out], { alpha, limit }) => {
  const args = [call.address(x!), call.address(out!), alpha, limit];
  call.launch("clamped_swiglu", args, elements(out!.shape), GRAIN);
};
