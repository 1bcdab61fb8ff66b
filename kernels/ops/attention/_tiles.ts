/** What the attention kernels share: sizes of tiles, the mapping of rows, loads. */
import type { WgslLimits } from "../../../core/tensor.ts";
import type { AttentionAttrs } from "./mod.ts";

/** Lanes that share one row of a tile. */
export const LANES = 8;

/** Sizes of the tiles of a kernel. */
export interface Tiles {
  /** Rows of a tile: a row is one query head of one query, all heads that share a key head side by side. */
  readonly rows: number;
  /** Keys of a tile. */
  readonly keys: number;
  /** Entries of a head. */
  readonly dim: number;
  /** Query heads per key head. */
  readonly group: number;
  /** Query heads. */
  readonly heads: number;
  /** Key heads. */
  readonly kvHeads: number;
}

/** Rows of a tile of the forward pass, also the unit in which rows are skipped. */
export const ROWS = 16;

/** The largest tiles that fit the workgroup's memory; `copies` tiles of keys and of rows are held at once. */
export function tilesFor(
  attrs: AttentionAttrs,
  limits: WgslLimits,
  copies: { readonly rows: number; readonly keys: number },
): Tiles {
  const { heads, kvHeads, headDim: dim } = attrs;
  const bytes = (keys: number) =>
    4 * (copies.rows * ROWS * dim + copies.keys * keys * dim + 3 * ROWS * keys + 4 * ROWS);
  let keys = 32;
  while (keys > LANES && bytes(keys) > limits.maxWorkgroupStorage) keys /= 2;
  return { rows: ROWS, keys, dim, group: heads / kvHeads, heads, kvHeads };
}

/** Parameters and bindings common to all passes; `ranges` is at binding 3. */
export const PARAMS = `struct Params {
  queries: u32,
  keys: u32, // keys before those of the diagonals
  diagonals: u32,
  scale: f32,
  span: u32, // keys of one part, where the keys are split
  splits: u32,
}
`;

/** Text made once per entry that a lane holds of a head: entries `lane`, `lane + 8`, …. */
export function perEntry(dim: number, make: (i: number, entry: string) => string, indent = "    "): string {
  return Array.from({ length: Math.ceil(dim / LANES) }, (_, i) => {
    const text = make(i, `lane + ${i * LANES}u`);
    return indent + ((i + 1) * LANES > dim ? `if (lane + ${i * LANES}u < ${dim}u) { ${text} }` : text);
  }).join("\n");
}

/** The number of a row's query and head: `query`, `head`, and whether it is there at all: `real`. */
export function rowOf({ group }: Tiles, row: string): string {
  return `let query = min((${row}) / ${group}u, p.queries - 1u);
  let head = kv_head * ${group}u + (${row}) % ${group}u;
  let real = (${row}) < p.queries * ${group}u;`;
}

/** A function `ranges_of(query)` → first key and one past the last, within the keys there are. */
export const RANGE_OF = `fn range_of(query: u32) -> vec2<u32> {
  let low = u32(max(ranges[2u * query], 0));
  let high = min(u32(max(ranges[2u * query + 1u], 0)), p.keys);
  return vec2<u32>(low, max(low, high));
}
`;
