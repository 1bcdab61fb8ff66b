/** The most likely entries of each row on the CPU. */
import { rowGrain, type Wasm } from "../_wasm.ts";
import type { TopKAttrs } from "./mod.ts";

/** x → (logarithms of probabilities, places). */
export const wasm: Wasm<TopKAttrs> = (call, inputs, outputs, { count }) => {
  const [rows, width] = inputs[0]!.shape as [number, number];
  const addresses = [inputs[0]!, ...outputs].map((tensor) => call.address(tensor));
  call.launch("top_k", [...addresses, width, count], rows, rowGrain(4 * width));
};
