/** Which weights a model computes with: its own, or copies in 16 bits of those that are trained in f32. */
import type { DType, Op, Run, Tensor } from "./tensor.ts";

/** Dtypes that weights may be copied to for a step. */
export type ComputeDType = "f32" | "bf16";

/** The op that copies; `kernels/ops/mod.ts` has it. */
export interface CastOps {
  /** Between floating-point dtypes; its gradient is the identity. */
  readonly castOp: Op<{ readonly dtype: DType }>;
}

/**
 * The tensors of a step by name. With `bf16` every f32 matrix that is trained is replaced by a copy in bf16 that `run`
 * makes, so that products read half the bytes; what training changes stays the f32 one, and gradients come back to it in
 * f32. Vectors (norms, biases) and all that is not trained stay as they are.
 */
export function computeTensors(
  run: Run,
  { all, trained }: {
    readonly all: ReadonlyMap<string, Tensor>;
    readonly trained: ReadonlyMap<string, Tensor>;
  },
  { dtype, ops }: { readonly dtype: ComputeDType; readonly ops: CastOps },
): ReadonlyMap<string, Tensor> {
  if (dtype === "f32") return all;
  const copies = new Map(all);
  for (const [name, tensor] of trained) {
    if (tensor.shape.length < 2) continue;
    copies.set(name, run(ops.castOp, [tensor], { dtype })[0]!);
  }
  return copies;
}
