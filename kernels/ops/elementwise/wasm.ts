/** Entry by entry on the CPU. */
import { elements, type Tensor, type WasmCall } from "../../../core/tensor.ts";
import { DTYPE_CODE, ENTRIES, rowGrain, type Wasm } from "../_wasm.ts";
import { type AddAttrs, broadcast, type CastAttrs, type ExpandAttrs } from "./mod.ts";

/** How the kernels name broadcasts. */
const KIND = { same: 0, row: 1, scalar: 2 };

function binary(
  call: WasmCall,
  kernel: "add" | "mul",
  [a, b, out]: readonly [Tensor, Tensor, Tensor],
  alpha: number,
): void {
  const kind = broadcast(kernel, a, b), count = elements(a.shape), width = b.shape.at(-1) ?? 1;
  const args = [call.address(a), call.address(b), call.address(out), KIND[kind], width, alpha];
  if (kind === "row") call.launch(kernel, args, width === 0 ? 0 : count / width, rowGrain(width));
  else call.launch(kernel, args, count, ENTRIES);
}

/** `a + alpha · b`. */
export const wasmAdd: Wasm<AddAttrs> = (call, inputs, outputs, { alpha = 1 }) => {
  binary(call, "add", [inputs[0]!, inputs[1]!, outputs[0]!], alpha);
};

/** `a · b`. */
export const wasmMul: Wasm<Record<never, never>> = (call, inputs, outputs) => {
  binary(call, "mul", [inputs[0]!, inputs[1]!, outputs[0]!], 1);
};

/** One value everywhere. */
export const wasmExpand: Wasm<ExpandAttrs> = (call, inputs, outputs) => {
  const out = outputs[0]!;
  call.launch("expand", [call.address(inputs[0]!), call.address(out)], elements(out.shape), ENTRIES);
};

/** To another floating dtype. */
export const wasmCast: Wasm<CastAttrs> = (call, inputs, outputs, { dtype }) => {
  const x = inputs[0]!, out = outputs[0]!;
  const args = [call.address(x), call.address(out), DTYPE_CODE[x.dtype], DTYPE_CODE[dtype]];
  call.launch("cast", args, elements(x.shape), ENTRIES);
};
