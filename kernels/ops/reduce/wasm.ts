/** Sums and the argmax on the CPU. */
import { elements } from "../../../core/tensor.ts";
import { ENTRIES, rowGrain, type Wasm } from "../_wasm.ts";
import type { SumAttrs } from "./mod.ts";

/** Columns of a cache line. */
const LINE = 16;

/** The sum of all entries: blocks in f64, then the blocks in their order, whatever thread did them. */
export const wasmSum: Wasm<SumAttrs> = (call, inputs, outputs, { square = false }) => {
  const count = elements(inputs[0]!.shape), blocks = Math.ceil(count / ENTRIES);
  const parts = call.scratch(Math.max(1, blocks) * 8);
  call.launch("block_sums", [call.address(inputs[0]!), parts, count, ENTRIES, square ? 1 : 0], blocks);
  call.launch("total", [parts, call.address(outputs[0]!), blocks], 1);
};

/** Column sums. */
export const wasmSumRows: Wasm<Record<never, never>> = (call, inputs, outputs) => {
  const out = outputs[0]!, width = out.shape[0]!;
  const rows = width === 0 ? 0 : elements(inputs[0]!.shape) / width;
  const args = [call.address(inputs[0]!), call.address(out), rows, width];
  call.launch("column_sums", args, width, Math.ceil(rowGrain(rows) / LINE) * LINE);
};

/** Index of the largest entry of each row. */
export const wasmArgmax: Wasm<Record<never, never>> = (call, inputs, outputs) => {
  const [rows, width] = inputs[0]!.shape as [number, number];
  call.launch("argmax", [call.address(inputs[0]!), call.address(outputs[0]!), width], rows, rowGrain(width));
};
