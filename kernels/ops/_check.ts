/** Checks that shape rules share. */
import { ShapeError } from "../../core/errors.ts";
import { BLOCK, describe, type DType, isBlocks, type Shape, type Spec } from "../../core/tensor.ts";

/** Dtypes a weight may be stored in; arithmetic widens them to f32. */
export const WEIGHT_DTYPES: readonly DType[] = ["f32", "bf16", "f16"];

/** Dtypes that weights of products and tables may be stored in. */
export const MATRIX_DTYPES: readonly DType[] = [...WEIGHT_DTYPES, "q8_0", "q4_0", "q4_1"];

/** The input at an index, checked to be there. */
export function input(op: string, inputs: readonly Spec[], index: number): Spec {
  const spec = inputs[index];
  if (!spec) throw new ShapeError(op, `expected an input ${index}, received ${inputs.length} inputs`);
  return spec;
}

/** Refuses a dtype that is not in the list. */
export function dtype(op: string, name: string, spec: Spec, allowed: readonly DType[]): void {
  if (!allowed.includes(spec.dtype)) {
    throw new ShapeError(op, `expected "${name}" as ${allowed.join(" or ")}, received ${describe(spec)}`);
  }
}

/** Refuses rows that are no whole blocks, where a matrix is stored in blocks. */
export function blocks(op: string, name: string, spec: Spec): void {
  if (isBlocks(spec.dtype) && (spec.shape.length < 2 || spec.shape.at(-1)! % BLOCK !== 0)) {
    throw new ShapeError(
      op,
      `expected "${name}" as a matrix with rows of whole blocks of ${BLOCK}, received ${describe(spec)}`,
    );
  }
}

/** Refuses a gradient by a weight that is stored in blocks. */
export function trainable(op: string, name: string, spec: Spec): void {
  if (isBlocks(spec.dtype)) {
    throw new ShapeError(
      op,
      `expected "${name}" in f32, bf16 or f16 for a gradient by it, received ${describe(spec)}`,
    );
  }
}

/** Refuses a shape that differs; a negative axis in `expected` takes any size. */
export function shape(op: string, name: string, spec: Spec, expected: Shape): void {
  const same = spec.shape.length === expected.length &&
    expected.every((axis, i) => axis < 0 || axis === spec.shape[i]);
  if (same) return;
  const words = expected.map((axis) => axis < 0 ? "?" : axis).join(", ");
  throw new ShapeError(op, `expected "${name}" as [${words}], received ${describe(spec)}`);
}

/** Both axes of a matrix. */
export function matrix(op: string, name: string, spec: Spec): [number, number] {
  shape(op, name, spec, [-1, -1]);
  return [spec.shape[0]!, spec.shape[1]!];
}

/** The first output of a call that has at least one. */
export function first<T>(outputs: readonly T[]): T {
  return outputs[0]!;
}
