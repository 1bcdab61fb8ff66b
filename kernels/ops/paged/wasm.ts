/** Attention over pages on the CPU. */
import { byteLength, BYTES } from "../../../core/tensor.ts";
import { DTYPE_CODE, lines, rowGrain, type Wasm, workspace } from "../_wasm.ts";
import { type GrowPagesAttrs, PAGE_ROWS, type PagedAttentionAttrs, TILE_ROWS } from "./mod.ts";

/** Entries of keys, counted for each query head, that are worth a second thread. */
const WORTH = 1 << 16;

/** (q, k, v, rows, pages, tiles) → (out, lse). */
export const wasm: Wasm<PagedAttentionAttrs> = (call, inputs, outputs, attrs) => {
  const [q, k, , , pages, tiles] = inputs, { heads, kvHeads, headDim, scale, longest } = attrs;
  const queries = q!.shape[0]!, group = heads / kvHeads, count = tiles!.shape[0]!;
  if (queries === 0 || count === 0) return;
  const most = Math.max(1, Math.floor(TILE_ROWS / group)), rows = most * group;
  const each = lines(4 * (rows * (2 * headDim + PAGE_ROWS + 2) + 3 * PAGE_ROWS * headDim));
  const work = workspace(call, each * call.threads);
  const addresses = [...inputs, ...outputs].map((tensor) => call.address(tensor));
  const pagesThere = k!.shape[0]! / PAGE_ROWS;
  const sizes = [heads, kvHeads, headDim, scale, DTYPE_CODE[k!.dtype], most, work, each / 4];
  const items = count * kvHeads;
  // Sharing costs some microseconds, which a decode step over short caches is not worth.
  const grain = longest * queries * heads * headDim > WORTH ? 1 : items;
  call.launch("paged_attention", [...addresses, pages!.shape[0]!, pagesThere, ...sizes], items, grain);
};

/** (pool of keys, pool of values, k, v, places) → the pools. */
export const wasmWrite: Wasm<Record<never, never>> = (call, [poolK, poolV, k, v, places]) => {
  const [rows, width] = k!.shape as [number, number];
  const addresses = [k!, v!, poolK!, poolV!, places!].map((tensor) => call.address(tensor));
  const args = [...addresses, width, poolK!.shape[0]!, DTYPE_CODE[poolK!.dtype]];
  call.launch("paged_write", args, rows, rowGrain(2 * width));
};

/** (pool of keys, pool of values, places) → the pools. */
export const wasmKeep: Wasm<Record<never, never>> = (call, [k, v, places]) => {
  const addresses = [k!, v!, places!].map((tensor) => call.address(tensor));
  const [rows, width] = k!.shape as [number, number];
  call.launch("paged_keep", [...addresses, places!.shape[1]!, width * BYTES[k!.dtype], rows], 1);
};

/** x → a larger pool. */
export const wasmGrow: Wasm<GrowPagesAttrs> = (call, [x], [out]) => {
  const bytes = byteLength(x!);
  if (bytes > 0) call.launch("copy", [call.address(x!), bytes, call.address(out!), bytes, bytes], 1);
};
