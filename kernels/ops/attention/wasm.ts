/** Attention on the CPU, in tiles of queries. */
import type { Spec, Tensor, WasmCall } from "../../../core/tensor.ts";
import { lines, type Wasm, workspace } from "../_wasm.ts";
import type { AttentionAttrs } from "./mod.ts";

/** Rows of a tile: queries times the heads that share a key head. */
const ROWS = 64;
/** Keys worked at once: `BLOCK` in the crate. */
const BLOCK = 64;
/** Entries of seen keys, counted for each query head, that are worth a second thread. */
const WORTH = 1 << 16;
/** Most shares a key head's gradients are summed in. */
const SHARES = 8;

/** Sizes as the kernels read them, and how the queries are cut. */
function plan(q: Spec, k: Spec, attrs: AttentionAttrs) {
  const { heads, kvHeads, headDim, scale, diagonals = 0 } = attrs;
  const queries = q.shape[0]!, keys = k.shape[0]!, group = heads / kvHeads;
  const tile = Math.max(1, Math.min(queries, Math.floor(ROWS / group)));
  const sizes = [queries, keys, heads, kvHeads, headDim, scale, diagonals, tile];
  return { sizes, rows: tile * group, tiles: Math.ceil(queries / tile), ranged: keys - diagonals * queries };
}

/** Working memory: bytes for all threads as floats of one. */
function lend(call: WasmCall, floats: number): [number, number] {
  const each = lines(floats * 4);
  return [workspace(call, each * call.threads), each / 4];
}

/** Whether sharing the work gains more than it costs: a decode step over a short cache does not. */
function worth(call: WasmCall, ranges: Tensor, { heads, headDim }: AttentionAttrs): boolean {
  if (ranges.shape[0]! > 8) return true;
  const bounds = call.view(ranges);
  let keys = 0;
  for (let i = 0; i < bounds.length; i += 2) keys += Math.max(0, bounds[i + 1]! - bounds[i]!);
  return keys * heads * headDim > WORTH;
}

/** (q, k, v, ranges) → (out, lse). */
export const wasm: Wasm<AttentionAttrs> = (call, inputs, outputs, attrs) => {
  const { sizes, rows, tiles } = plan(inputs[0]!, inputs[1]!, attrs);
  const addresses = [...inputs, ...outputs].map((tensor) => call.address(tensor));
  const work = lend(call, rows * (2 * attrs.headDim + BLOCK + 2) + BLOCK * attrs.headDim);
  const items = tiles * attrs.kvHeads;
  call.launch(
    "attention",
    [...addresses, ...sizes, ...work],
    items,
    worth(call, inputs[3]!, attrs) ? 1 : items,
  );
};

/** (q, k, v, ranges, out, lse, dout) → (dq, dk, dv). */
export const wasmGrad: Wasm<AttentionAttrs> = (call, inputs, outputs, attrs) => {
  const { kvHeads, headDim } = attrs;
  const { sizes, rows, tiles, ranged } = plan(inputs[0]!, inputs[1]!, attrs);
  const addresses = [...inputs, ...outputs].map((tensor) => call.address(tensor));
  const [dk, dv] = [addresses[8]!, addresses[9]!];
  // One share for each key head where that keeps all threads busy; else several, each with sums of its own.
  const wanted = kvHeads % call.threads === 0 ? 1 : Math.ceil(2 * call.threads / kvHeads);
  const shares = Math.max(1, Math.min(wanted, tiles, SHARES));
  const entries = ranged * kvHeads * headDim;
  const parts = shares > 1 ? call.scratch(2 * shares * entries * 4) : 0;
  const sums = shares > 1 ? [parts, parts + shares * entries * 4] : [dk, dv];
  const work = lend(call, rows * (3 * headDim + 2 * BLOCK + 2) + BLOCK * headDim);
  call.launch("attention_grad", [...addresses, ...sizes, ...work, shares, ...sums], kvHeads * shares);
  if (shares === 1) return;
  call.launch("merge", [sums[0]!, dk, shares, entries], entries, 8192);
  call.launch("merge", [sums[1]!, dv, shares, entries], entries, 8192);
};
