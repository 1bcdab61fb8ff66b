/** Smooth L1, the regression loss of features (Girshick 2015, arXiv 1504.08083, equation 3). */
import { ShapeError } from "../../../core/errors.ts";
import { describe, type Op, type Run, type Tensor } from "../../../core/tensor.ts";
import { mul, sum } from "../../../kernels/ops/mod.ts";
import { fold, inputWindow, outputWindow, runs, u32, window } from "../../../kernels/ops/_wgsl.ts";
import rowsCode from "./smooth_l1_rows.wgsl" with { type: "text" };

type None = Record<never, never>;

/**
 * Row by row: x, target f32 `[R, H]`, weights f32 `[R]` → loss f32 `[R]` = `weight · mean s(x − target)` with
 * `s(d) = d²/2` where `|d| < 1` and `|d| − 1/2` elsewhere, and dx f32 `[R, H]`. Rows of weight 0 are not computed: zeros.
 */
export const smoothL1RowsOp: Op<None> = {
  name: "eagle_smooth_l1_rows",
  infer([x, target, weights]) {
    const fits = x?.dtype === "f32" && x.shape.length === 2 && target?.dtype === "f32" &&
      target.shape.join() === x.shape.join() && weights?.dtype === "f32" &&
      weights.shape.join() === `${x.shape[0]}`;
    if (!fits) {
      const found = [x, target, weights].map((spec) => spec ? describe(spec) : "none").join(", ");
      throw new ShapeError("eagle_smooth_l1_rows", `expected f32 [R, H], [R, H] and [R], received ${found}`);
    }
    return [{ shape: [x.shape[0]!], dtype: "f32" }, x];
  },
  wgsl(inputs, _outputs, _attrs, limits) {
    const [rows, width] = inputs[0]!.shape as [number, number];
    return runs(rows, 4 * width, limits.maxBinding).map(({ start, count }) => {
      const part = window(start * width, count * width, 4);
      return {
        code: rowsCode,
        bind: [
          inputWindow(0, part),
          inputWindow(1, part),
          { input: 2 },
          { output: 0 },
          outputWindow(1, part),
        ],
        params: [count, width, part.shift, start].map(u32),
        grid: fold(count),
      };
    });
  },
  wasm(call, inputs, outputs) {
    const [x, target, weights] = inputs.map((tensor) => call.view(tensor) as Float32Array);
    const [loss, dx] = outputs.map((tensor) => call.view(tensor) as Float32Array);
    const width = inputs[0]!.shape[1]!;
    for (const [row, weight] of weights!.entries()) {
      const share = width === 0 ? 0 : weight / width;
      let total = 0;
      for (let i = row * width; i < (row + 1) * width; i++) {
        const d = weight === 0 ? 0 : x![i]! - target![i]!, size = Math.abs(d);
        total += size < 1 ? d * d / 2 : size - 0.5;
        dx![i] = share * Math.min(Math.max(d, -1), 1);
      }
      loss![row] = share * total;
    }
  },
};

/**
 * x, target f32 `[T, H]`, weights f32 `[T]` → loss f32 `[1]`, the sum of {@linkcode smoothL1RowsOp} over rows, and its
 * gradient by x. No gradient reaches the target.
 */
export const smoothL1Op: Op<None> = {
  name: "eagle_smooth_l1",
  infer(inputs, attrs) {
    const [, dx] = smoothL1RowsOp.infer(inputs, attrs);
    return [{ shape: [1], dtype: "f32" }, dx!];
  },
  compose(run, inputs) {
    const [loss, dx] = run(smoothL1RowsOp, inputs, {});
    return [sum(run, loss!), dx!];
  },
  grad: (run, { outputs, douts: [d], needs }) => [
    d && needs[0] ? mul(run, outputs[1]!, d) : null,
    null,
    null,
  ],
};

/** Smooth L1 of each row, weighted and summed: f32 `[1]`. */
export function smoothL1(
  run: Run,
  x: { readonly x: Tensor; readonly target: Tensor; readonly weights: Tensor },
): Tensor {
  return run(smoothL1Op, [x.x, x.target, x.weights], {})[0]!;
}
