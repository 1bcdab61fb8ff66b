/**
 * Rows of tensors.
 *
 * @module
 */
import type { HostTensor, Shape } from "../tensor.ts";
import type { RowRange } from "./source.ts";

/** First row and one past the last of a range, or `null` where the shape has not these rows. */
export function rowSpan(shape: Shape, rows: RowRange): readonly [number, number] | null {
  const count = shape[0], from = rows.start ?? 0, to = rows.end ?? count ?? 0;
  const fits = count !== undefined && Number.isInteger(from) && Number.isInteger(to) && from >= 0 &&
    from <= to && to <= count;
  return fits ? [from, to] : null;
}

/** Some rows of a tensor in memory, sharing its bytes; the range must lie within it. */
export function rowsOf(tensor: HostTensor, rows: RowRange): HostTensor {
  const [count = 1, ...rest] = tensor.shape;
  const [from, to] = rowSpan(tensor.shape, rows) ?? [0, count];
  const stride = count === 0 ? 0 : tensor.bytes.length / count;
  return {
    shape: [to - from, ...rest],
    dtype: tensor.dtype,
    bytes: tensor.bytes.subarray(from * stride, to * stride),
  };
}
