/** Linear layers over one input on the CPU: a few rows go through all weights in one launch. */
import { BYTES, type Tensor, type WasmCall } from "../../../core/tensor.ts";
import { DTYPE_CODE, type Wasm, workspace } from "../_wasm.ts";
import type { MatmulAttrs } from "../matmul/mod.ts";
import { FEW_ROWS, multiply, rowsGrain } from "../matmul/wasm.ts";

/** Weights that one launch takes: its arguments are bounded. */
const MOST = 12;

function launch(
  call: WasmCall,
  x: { readonly address: number; readonly m: number; readonly k: number },
  layers: readonly { readonly weight: Tensor; readonly out: Tensor }[],
): void {
  const { address, m, k } = x, { dtype } = layers[0]!.weight;
  const each = layers.flatMap((
    { weight, out },
  ) => [call.address(weight), call.address(out), weight.shape[0]!]);
  const n = layers.reduce((sum, { weight }) => sum + weight.shape[0]!, 0);
  const work = dtype !== "f32" ? workspace(call, m * k * 4 * call.threads) : 0;
  const args = [address, m, k, DTYPE_CODE[dtype], work, layers.length, ...each];
  call.launch("linears_rows", args, n, rowsGrain(call.threads, { m, n, k }));
}

/** (x, …weights) → (x · weightᵢᵀ, …). */
export const wasm: Wasm<Pick<MatmulAttrs, "steady">> = (call, [x, ...weights], outputs, { steady }) => {
  const [m, k] = x!.shape as [number, number], address = call.address(x!);
  const layers = weights.map((weight, i) => ({ weight, out: outputs[i]! }));
  if ((m <= FEW_ROWS || steady) && k > 0) {
    for (let i = 0; m > 0 && i < layers.length; i += MOST) {
      launch(call, { address, m, k }, layers.slice(i, i + MOST));
    }
    return;
  }
  for (const { weight, out } of layers) {
    multiply(call, {
      a: address,
      b: call.address(weight),
      c: call.address(out),
      m,
      n: weight.shape[0]!,
      k,
      transA: false,
      transB: true,
      code: DTYPE_CODE[weight.dtype],
      size: BYTES[weight.dtype],
      add: false,
    });
  }
};
