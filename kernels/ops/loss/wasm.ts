/** Losses of rows on the CPU. */
import { rowGrain, type Wasm } from "../_wasm.ts";
import { LOSS_KINDS, type LossKind } from "./kinds.ts";
import type { PointMassAttrs } from "./point_mass.ts";

type None = Record<never, never>;

/** (logits, targets, weights) → (loss, dlogits). */
export const wasmKl: Wasm<None> = (call, inputs, outputs) => {
  const [rows, width] = inputs[0]!.shape as [number, number];
  const args = [...[...inputs, ...outputs].map((tensor) => call.address(tensor)), width];
  call.launch("kl_rows", args, rows, rowGrain(width, 4096));
};

/** The same for the other losses. */
export function wasmLoss(kind: LossKind): Wasm<None> {
  return (call, inputs, outputs) => {
    const [rows, width] = inputs[0]!.shape as [number, number];
    const tensors = [...inputs, ...outputs].map((tensor) => call.address(tensor));
    call.launch("loss_rows", [...tensors, width, LOSS_KINDS[kind]], rows, rowGrain(width, 4096));
  };
}

/** Logits that are certain of a token. */
export const wasmPointMass: Wasm<PointMassAttrs> = (call, [labels], [out], { width, rest }) => {
  const ids = call.view(labels!) as Int32Array, logits = call.view(out!) as Float32Array;
  logits.fill(rest);
  for (const [row, id] of ids.entries()) {
    if (id >= 0 && id < width) logits[row * width + id] = 0;
  }
};
