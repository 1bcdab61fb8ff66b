/** GELU on the CPU. */
import { elements } from "../../../core/tensor.ts";
import type { Wasm } from "../_wasm.ts";
import type { GeluAttrs } from "./mod.ts";

/** Entries worth a thread's while: an exponential each. */
const GRAIN = 1024;

/** x → x · Φ(x). */
export const wasm: Wasm<GeluAttrs> = (call, [x], [out], { tanh = false }) => {
  call.launch("gelu", [call.address(x!), call.address(out!), tanh ? 1 : 0], elements(out!.shape), GRAIN);
};
