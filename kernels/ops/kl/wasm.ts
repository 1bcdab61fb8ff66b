/** The distillation loss of rows on the CPU. */
import { rowGrain, type Wasm } from "../_wasm.ts";

/** (logits, targets, weights) → (loss, dlogits). */
export const wasm: Wasm<Record<never, never>> = (call, inputs, outputs) => {
  const [rows, width] = inputs[0]!.shape as [number, number];
  const args = [...[...inputs, ...outputs].map((tensor) => call.address(tensor)), width];
  call.launch("kl_rows", args, rows, rowGrain(width, 4096));
};
