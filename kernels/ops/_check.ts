/** Checks that shape rules share. */
import { ShapeError } from "../../core/errors.ts";
import { describe, type DType, type Shape, type Spec } from "../../core/tensor.ts";

/** Dtypes a weight may be stored in; arithmetic widens them to f32. */
export const WEIGHT_DTYPES: readonly DType[] = ["f32", "bf16", "f16"];

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
