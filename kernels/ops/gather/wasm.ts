/** Rows by number on the CPU. */
import { elements } from "../../../core/tensor.ts";
import { DTYPE_CODE, ENTRIES, product, rowGrain, type Wasm } from "../_wasm.ts";
import type { ScatterAddAttrs } from "./mod.ts";

/** Columns of a cache line: two threads do not write one. */
const LINE = 16;

/** `table[ids]`. */
export const wasmGather: Wasm<Record<never, never>> = (call, inputs, outputs) => {
  const [table, ids] = [inputs[0]!, inputs[1]!], width = product(table.shape, 1);
  const addresses = [table, ids, outputs[0]!].map((tensor) => call.address(tensor));
  const args = [...addresses, table.shape[0]!, width, DTYPE_CODE[table.dtype]];
  call.launch("gather", args, ids.shape[0]!, rowGrain(width));
};

/** Rows added up by number, a block of columns at a time. */
export const wasmScatterAdd: Wasm<ScatterAddAttrs> = (call, inputs, outputs, { rows }) => {
  const [x, ids] = [inputs[0]!, inputs[1]!], out = outputs[0]!, [count, width] = x.shape as [number, number];
  call.launch("clear", [call.address(out)], elements(out.shape) * 4, ENTRIES * 4);
  const args = [...[x, ids, out].map((tensor) => call.address(tensor)), count, rows, width];
  call.launch("scatter_add", args, width, Math.ceil(rowGrain(count) / LINE) * LINE);
};
