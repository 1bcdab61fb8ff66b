/** Matrix products by three loops. */
import type { MatmulAttrs } from "../../../kernels/ops/matmul/mod.ts";
import { array, type HostArray } from "./array.ts";
import type { Reference } from "./types.ts";

/** Sizes and strides of a side: `at(batch, row, column)` of the matrix as it enters the product. */
function side(x: HostArray, transposed: boolean) {
  const rank = x.shape.length, [p, q] = [x.shape[rank - 2]!, x.shape[rank - 1]!];
  const stride = rank === 3 ? p * q : 0;
  const at = transposed
    ? (b: number, i: number, j: number) => x.data[b * stride + j * q + i]!
    : (b: number, i: number, j: number) => x.data[b * stride + i * q + j]!;
  return { rows: transposed ? q : p, columns: transposed ? p : q, at };
}

/** `a · b`. */
export const matmul: Reference<MatmulAttrs> = ([a, b], { transA = false, transB = false }) => {
  const left = side(a!, transA), right = side(b!, transB);
  const batch = a!.shape.length === 3 ? a!.shape[0]! : 1;
  const [m, n, k] = [left.rows, right.columns, left.columns];
  const out = array(a!.shape.length === 3 ? [batch, m, n] : [m, n]);
  for (let z = 0; z < batch; z++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let l = 0; l < k; l++) sum += left.at(z, i, l) * right.at(z, l, j);
        out.data[(z * m + i) * n + j] = sum;
      }
    }
  }
  return [out];
};

/** `c + a · b`. */
export const matmulAdd: Reference<MatmulAttrs> = ([a, b, c], attrs) => {
  const [product] = matmul([a!, b!], attrs);
  return [array(c!.shape, c!.data.map((x, i) => x + product!.data[i]!))];
};

/** `x · weightᵢᵀ` for each weight. */
export const linears: Reference<Record<never, never>> = ([x, ...weights]) =>
  weights.flatMap((weight) => matmul([x!, weight], { transB: true }));
