/** LayerNorm on the CPU. */
import { rowGrain, type Wasm } from "../_wasm.ts";
import type { LayernormAttrs } from "./mod.ts";

/** (x, weight, bias) → the rows' norms. */
export const wasm: Wasm<LayernormAttrs> = (call, inputs, [out], { eps }) => {
  const [rows, n] = out!.shape as [number, number];
  const addresses = [...inputs, out!].map((tensor) => call.address(tensor));
  call.launch("layernorm", [...addresses, n, eps], rows, rowGrain(4 * n));
};
