/** The optimiser's kernels on the CPU. */
import { elements } from "../../../core/tensor.ts";
import { ENTRIES, type Wasm } from "../_wasm.ts";
import type { AdamwAttrs, ClipScaleAttrs } from "./mod.ts";

/** Squares → factor and norm: a handful of numbers. */
export const wasmClipScale: Wasm<ClipScaleAttrs> = (call, inputs, outputs, { maxNorm }) => {
  let total = 0;
  for (const square of call.view(inputs[0]!)) total += square;
  const norm = Math.sqrt(total);
  const ratio = maxNorm / (norm + 1e-6);
  call.view(outputs[0]!)[0] = ratio < 1 || Number.isNaN(ratio) ? ratio : 1; // like torch, NaN stays
  call.view(outputs[1]!)[0] = norm;
};

/** One step in place. */
export const wasmAdamw: Wasm<AdamwAttrs> = (call, inputs, _outputs, attrs) => {
  const { lr, beta1, beta2, eps, weightDecay, step } = attrs;
  const args = [
    ...inputs.map((tensor) => call.address(tensor)),
    1 - lr * weightDecay,
    beta1,
    1 - beta1,
    beta2,
    1 - beta2,
    lr / (1 - beta1 ** step),
    1 / Math.sqrt(1 - beta2 ** step),
    eps,
  ];
  call.launch("adamw", args, elements(inputs[0]!.shape), ENTRIES);
};
