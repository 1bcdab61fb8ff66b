/** RMSNorm on the CPU. */
import { elements } from "../../../core/tensor.ts";
import { rowGrain, type Wasm } from "../_wasm.ts";
import type { RmsnormAttrs } from "./mod.ts";

/** (x, weight) → x normed. */
export const wasm: Wasm<RmsnormAttrs> = (call, inputs, outputs, { eps }) => {
  const [x, weight] = [inputs[0]!, inputs[1]!], n = weight.shape[0]!;
  const args = [...[x, weight, outputs[0]!].map((tensor) => call.address(tensor)), n, eps];
  call.launch("rmsnorm", args, n === 0 ? 0 : elements(x.shape) / n, rowGrain(n));
};

/** (x, weight, dout) → (dx, dweight): the weight's gradient in shares of the rows, then summed. */
export const wasmGrad: Wasm<RmsnormAttrs> = (call, inputs, outputs, { eps }) => {
  const [x, weight, dout] = [inputs[0]!, inputs[1]!, inputs[2]!], n = weight.shape[0]!;
  if (n === 0) return;
  const runs = elements(x.shape) / n;
  const shares = Math.max(1, Math.min(4 * call.threads, Math.floor(runs / rowGrain(n))));
  const sums = call.scratch(shares * n * 4);
  const addresses = [x, weight, dout, outputs[0]!].map((tensor) => call.address(tensor));
  call.launch("rmsnorm_grad", [...addresses, sums, n, eps, runs, shares], shares);
  call.launch("merge", [sums, call.address(outputs[1]!), shares, n], n, 8192);
};
