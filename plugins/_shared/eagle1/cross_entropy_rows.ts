/** Cross-entropy of rows on either kind of backend. */
import type { Spec, Tensor, WasmCall, WgslLimits, WgslPass } from "../../../core/tensor.ts";
import { f32, fold, inputWindow, outputWindow, runs, u32, window } from "../../../kernels/ops/_wgsl.ts";
import type { CrossEntropyAttrs } from "./cross_entropy.ts";
import rowsCode from "./cross_entropy_rows.wgsl" with { type: "text" };

/** Loss and gradient of every row on WebGPU, a workgroup a row. */
export function wgslRows(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  { all, top, count }: CrossEntropyAttrs,
  limits: WgslLimits,
): WgslPass[] {
  const [rows, width] = inputs[0]!.shape as [number, number];
  return runs(rows, 4 * width, limits.maxBinding).map(({ start, count: part }) => {
    const covered = window(start * width, part * width, 4);
    return {
      code: rowsCode,
      bind: [
        inputWindow(0, covered),
        inputWindow(1, covered),
        { input: 2 },
        { output: 0 },
        outputWindow(1, covered),
      ],
      params: [
        ...[part, width, covered.shift, start, top === 0 ? 0 : Math.min(count, width)].map(u32),
        f32(all),
        f32(top),
      ],
      grid: fold(part),
    };
  });
}

/** Loss and gradient of every row on the CPU. */
export function wasmRows(
  call: WasmCall,
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  attrs: CrossEntropyAttrs,
): void {
  const [logits, targets, weights] = inputs.map((tensor) => call.view(tensor) as Float32Array);
  const [loss, gradient] = outputs.map((tensor) => call.view(tensor) as Float32Array);
  const width = inputs[0]!.shape[1]!;
  for (const [row, weight] of weights!.entries()) {
    const start = row * width, end = start + width;
    if (weight === 0 || width === 0) {
      loss![row] = 0;
      gradient!.fill(0, start, end);
      continue;
    }
    loss![row] = weight * crossEntropy(
      {
        logits: logits!.subarray(start, end),
        targets: targets!.subarray(start, end),
        gradient: gradient!.subarray(start, end),
        weight,
      },
      attrs,
    );
  }
}

/** One row: gives its loss and writes its gradient, which has the row's weight in it. */
function crossEntropy(
  { logits, targets, gradient, weight }: {
    readonly logits: Float32Array;
    readonly targets: Float32Array;
    readonly gradient: Float32Array;
    readonly weight: number;
  },
  { all, top, count }: CrossEntropyAttrs,
): number {
  const p = normaliser(logits), q = normaliser(targets);
  const cost = (i: number) => Math.exp(targets[i]! - q) * (p - logits[i]!);
  const chosen = top === 0 ? [] : likeliest(targets, count);
  let loss = 0, share = 0;
  for (const i of chosen) {
    loss += top * cost(i);
    share += Math.exp(targets[i]! - q);
  }
  // d/dz of −Σ_S q log p is (Σ_S q) · p − q on S.
  const scale = all + top * share;
  for (let i = 0; i < logits.length; i++) {
    if (all !== 0) loss += all * cost(i);
    gradient[i] = weight * (scale * Math.exp(logits[i]! - p) - all * Math.exp(targets[i]! - q));
  }
  for (const i of chosen) gradient[i]! -= weight * top * Math.exp(targets[i]! - q);
  return loss;
}

/** `log Σ exp x`. */
function normaliser(x: Float32Array): number {
  let most = -Infinity, sum = 0;
  for (const value of x) most = value > most ? value : most;
  for (const value of x) sum += Math.exp(value - most);
  return most + Math.log(sum);
}

/** The indices of the `count` largest entries, the lower one of equals first. */
function likeliest(x: Float32Array, count: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < x.length; i++) {
    if (found.length === count && !(x[i]! > x[found[count - 1]!]!)) continue;
    let at = found.length;
    while (at > 0 && x[i]! > x[found[at - 1]!]!) at--;
    found.splice(at, 0, i);
    if (found.length > count) found.pop();
  }
  return found;
}
