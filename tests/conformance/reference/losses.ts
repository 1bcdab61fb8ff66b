/** The losses of next tokens, by whole softmaxes. */
import type { LinearLossAttrs } from "../../../kernels/ops/loss/mod.ts";
import { array, type HostArray } from "./array.ts";
import { matmul } from "./matmul.ts";
import { argmax } from "./reduce.ts";
import type { Reference } from "./types.ts";

type None = Record<never, never>;

/** A row's loss and its gradient by the logits, from log q (draft) and log p (verifier). */
type RowLoss = (
  lq: Float64Array,
  lp: Float64Array,
) => { readonly value: number; readonly grad: Float64Array };

function logSoftmax(row: Float64Array): Float64Array {
  const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const total = row.reduce((sum, x) => sum + Math.exp(x - top), 0);
  return row.map((x) => x - top - Math.log(total));
}

function rowsOf(one: RowLoss): Reference<None> {
  return ([logits, targets, weights]) => {
    const [rows, width] = [logits!.shape[0]!, logits!.shape[1]!];
    const loss = array([rows]), dlogits = array([rows, width]);
    for (let t = 0; t < rows; t++) {
      const weight = weights!.data[t]!, part = [t * width, (t + 1) * width] as const;
      if (weight === 0) continue;
      const { value, grad } = one(
        logSoftmax(logits!.data.subarray(...part)),
        logSoftmax(targets!.data.subarray(...part)),
      );
      loss.data[t] = weight * value;
      dlogits.data.set(grad.map((x) => weight * x), part[0]);
    }
    return [loss, dlogits];
  };
}

function sum(x: Float64Array): number {
  return x.reduce((a, b) => a + b, 0);
}

/** The gradient of a function of q through the softmax, from its gradient by q. */
function throughSoftmax(lq: Float64Array, dq: (i: number) => number): Float64Array {
  const q = lq.map(Math.exp), mean = sum(q.map((x, i) => x === 0 ? 0 : x * dq(i)));
  return q.map((x, i) => x === 0 ? 0 : x * (dq(i) - mean));
}

function divergence(lp: Float64Array, lq: Float64Array): number {
  return sum(lp.map((x, i) => Math.exp(x) === 0 ? 0 : Math.exp(x) * (x - lq[i]!)));
}

function middle(lq: Float64Array, lp: Float64Array): Float64Array {
  return lq.map((x, i) => Math.log((Math.exp(x) + Math.exp(lp[i]!)) / 2));
}

/** Share refused, and its gradient. */
function variation(lq: Float64Array, lp: Float64Array): ReturnType<RowLoss> {
  const value = sum(lq.map((x, i) => Math.max(Math.exp(lp[i]!) - Math.exp(x), 0)));
  return { value, grad: throughSoftmax(lq, (i) => lq[i]! <= lp[i]! ? -1 : 0) };
}

/** Loss of each row, and its gradient by the logits. */
export const klRows: Reference<None> = rowsOf((lq, lp) => ({
  value: divergence(lp, lq),
  grad: lq.map((x, i) => Math.exp(x) - Math.exp(lp[i]!)),
}));

/** The losses by their ops' names. */
export const LOSS_ROWS: Readonly<Record<string, Reference<None>>> = {
  kl_rows: klRows,
  reverse_kl_rows: rowsOf((lq, lp) => ({
    value: divergence(lq, lp),
    grad: throughSoftmax(lq, (i) => lq[i]! - lp[i]!),
  })),
  jensen_shannon_rows: rowsOf((lq, lp) => {
    const lm = middle(lq, lp);
    return {
      value: (divergence(lq, lm) + divergence(lp, lm)) / 2,
      grad: throughSoftmax(lq, (i) => (lq[i]! - lm[i]!) / 2),
    };
  }),
  cross_entropy_rows: rowsOf((lq, lp) => {
    const label = lp.reduce((best, x, i) => x > lp[best]! ? i : best, 0);
    return { value: -lq[label]!, grad: lq.map((x, i) => Math.exp(x) - (i === label ? 1 : 0)) };
  }),
  total_variation_rows: rowsOf(variation),
  acceptance_rows: rowsOf((lq, lp) => {
    const { grad } = variation(lq, lp), accepted = sum(lq.map((x, i) => Math.exp(Math.min(x, lp[i]!))));
    return {
      value: -Math.log(Math.max(accepted, 1e-5)),
      grad: grad.map((x) => accepted < 1e-5 ? 0 : x / accepted),
    };
  }),
  hybrid_rows: rowsOf((lq, lp) => {
    const { value, grad } = variation(lq, lp), lambda = Math.exp(-3 * (1 - value));
    return {
      value: lambda * divergence(lp, lq) + (1 - lambda) * value,
      grad: grad.map((x, i) => lambda * (Math.exp(lq[i]!) - Math.exp(lp[i]!)) + (1 - lambda) * x),
    };
  }),
};

/** Logits that are certain of a token. */
export const pointMass: Reference<{ readonly width: number; readonly rest: number }> = (
  [labels],
  { width, rest },
) => {
  const out = array([labels!.shape[0]!, width], Array(labels!.data.length * width).fill(rest));
  labels!.data.forEach((id, row) => id >= 0 && id < width && (out.data[row * width + id] = 0));
  return [out];
};

/** Heads and losses together: see the op for the order of inputs and outputs. */
export const linearLoss: Reference<LinearLossAttrs> = ([hidden, head, weights, ...goal], attrs) => {
  const [logits] = matmul([hidden!, head!], { transB: true }), width = logits!.shape[1]!;
  const [goals] = goal.length === 2
    ? matmul([goal[0]!, goal[1]!], { transB: true })
    : pointMass([goal[0]!], { width, rest: -1e4 });
  const terms = attrs.terms ?? [{ weight: 1, rows: { name: "kl_rows" } }];
  const found = terms.map(({ weight, rows }) => {
    const scaled = array(weights!.shape, Array.from(weights!.data, (x) => weight * x));
    return LOSS_ROWS[rows.name]!([logits!, goals!, scaled], {});
  });
  const dlogits = array(logits!.shape);
  for (const [, d] of found) d!.data.forEach((x, i) => dlogits.data[i]! += x);
  const parts = found.map(([loss]) => sum(loss!.data as Float64Array));
  const targetIds: HostArray = goal.length === 2 ? argmax([goals!], {})[0]! : goal[0]!;
  const outputs = [
    array([1], [parts.reduce((a, b) => a + b, 0)]),
    argmax([logits!], {})[0]!,
    targetIds,
    array([parts.length], parts),
  ];
  if (!attrs.gradients) return outputs;
  const [dhidden] = matmul([dlogits, head!], {});
  if (attrs.frozenHead) return [...outputs, dhidden!];
  const [dhead] = matmul([dlogits, hidden!], { transA: true });
  return [...outputs, dhidden!, dhead!];
};
