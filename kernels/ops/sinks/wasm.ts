/** Attention sinks on the CPU. */
import { rowGrain, type Wasm } from "../_wasm.ts";

/** (x, lse, sinks) → x · σ(lse − sink). */
export const wasm: Wasm<Record<never, never>> = (call, inputs, [out]) => {
  const [rows, width] = out!.shape as [number, number], heads = inputs[2]!.shape[0]!;
  const addresses = [...inputs, out!].map((tensor) => call.address(tensor));
  if (heads > 0) call.launch("sinks", [...addresses, heads, width / heads], rows, rowGrain(width));
};
