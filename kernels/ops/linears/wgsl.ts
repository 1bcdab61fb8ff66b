/** Linear layers over one input on WebGPU: the passes of each product. */
import type { Spec, WgslLimits, WgslPass } from "../../../core/tensor.ts";
import type { MatmulAttrs } from "../matmul/mod.ts";
import { wgsl as product } from "../matmul/wgsl.ts";

/** (x, …weights) → (x · weightᵢᵀ, …). */
export function wgsl(
  [x, ...weights]: readonly Spec[],
  outputs: readonly Spec[],
  attrs: Pick<MatmulAttrs, "steady">,
  limits: WgslLimits,
): WgslPass[] {
  return weights.flatMap((weight, i) =>
    product([x!, weight], [outputs[i]!], { ...attrs, transB: true }, limits).map((pass) => ({
      ...pass,
      bind: pass.bind.map((binding) =>
        "output" in binding
          ? { ...binding, output: i }
          : "input" in binding && binding.input === 1
          ? { ...binding, input: i + 1 }
          : binding
      ),
    }))
  );
}
