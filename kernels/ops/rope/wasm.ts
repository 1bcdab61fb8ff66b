/** Rotary embedding on the CPU. */
import { rowGrain, type Wasm } from "../_wasm.ts";
import type { RopeAttrs } from "./mod.ts";

/** (x, cos, sin, positions) → x rotated. */
export const wasm: Wasm<RopeAttrs> = (call, inputs, outputs, { headDim, inverse = false }) => {
  const [rows, width] = inputs[0]!.shape as [number, number];
  const addresses = [...inputs, outputs[0]!].map((tensor) => call.address(tensor));
  const args = [...addresses, width / headDim, headDim, inputs[1]!.shape[0]!, inverse ? 1 : 0];
  call.launch("rope", args, rows, rowGrain(width));
};
