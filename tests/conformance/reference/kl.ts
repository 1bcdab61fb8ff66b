/** The distillation loss, by whole softmaxes. */
import type { LinearKlAttrs } from "../../../kernels/ops/kl/mod.ts";
import { array } from "./array.ts";
import { matmul } from "./matmul.ts";
import { argmax } from "./reduce.ts";
import type { Reference } from "./types.ts";

function logSoftmax(row: Float64Array): Float64Array {
  const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const total = row.reduce((sum, x) => sum + Math.exp(x - top), 0);
  return row.map((x) => x - top - Math.log(total));
}

/** Loss of each row, and its gradient by the logits. */
export const klRows: Reference = ([logits, targets, weights]) => {
  const [rows, width] = [logits!.shape[0]!, logits!.shape[1]!];
  const loss = array([rows]), dlogits = array([rows, width]);
  for (let t = 0; t < rows; t++) {
    const weight = weights!.data[t]!;
    if (weight === 0) continue;
    const found = logSoftmax(logits!.data.subarray(t * width, (t + 1) * width));
    const goal = logSoftmax(targets!.data.subarray(t * width, (t + 1) * width));
    for (let j = 0; j < width; j++) {
      const p = Math.exp(goal[j]!);
      loss.data[t]! += weight * p * (goal[j]! - found[j]!);
      dlogits.data[t * width + j] = weight * (Math.exp(found[j]!) - p);
    }
  }
  return [loss, dlogits];
};

/** Heads and loss together: see the op for the order of inputs and outputs. */
export const linearKl: Reference<LinearKlAttrs> = ([hidden, head, target, targetHead, weights], attrs) => {
  const rows = hidden!.shape[0]!, shift = Math.min(attrs.shift ?? 0, rows), paired = rows - shift;
  const [logits] = matmul([hidden!, head!], { transB: true });
  const [goals] = matmul([target!, targetHead!], { transB: true });
  const width = logits!.shape[1]!;
  const shifted = array([rows, width]);
  shifted.data.set(goals!.data.subarray(shift * width));
  const used = array([rows], weights!.data.map((weight, t) => t < paired ? weight : 0));
  const [loss, dlogits] = klRows([logits!, shifted, used], {});
  const found = [
    array([1], [loss!.data.reduce((a, b) => a + b, 0)]),
    argmax([logits!], {})[0]!,
    argmax([shifted], {})[0]!,
  ];
  if (!attrs.gradients) return found;
  const [dhidden] = matmul([dlogits!, head!], {});
  const [dhead] = matmul([dlogits!, hidden!], { transA: true });
  return [...found, dhidden!, dhead!];
};
