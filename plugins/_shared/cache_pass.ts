/** One pass over new rows of several sequences: where they go, and what they see. */
import { ShapeError } from "../../core/errors.ts";
import type { KvCache } from "../../core/plugin.ts";
import type { Backend, Run, Tensor } from "../../core/tensor.ts";
import {
  MOST_BRANCH_ROWS,
  PAGE_ROWS,
  pagedAttention,
  TILE_ROWS,
  writePagesOp,
} from "../../kernels/ops/mod.ts";
import type { AttentionSizes, CacheGroup, LayerCache } from "./kv_cache.ts";

/** New rows. */
export interface PassRows {
  /** Caches, and how many rows go behind each. */
  readonly sequences: readonly {
    readonly cache: KvCache;
    readonly rows: number;
    /** Parents of the cached rows that are part of the same tree: the new rows' parents count from the first of them. */
    readonly before?: readonly number[];
  }[];
  /**
   * For each row the row of its sequence that it follows, counted from the sequence's first new one; −1 is the last cached
   * one. Without it a row follows the one before.
   */
  readonly parents?: readonly number[];
  /** Whether a layer may ask for the last row of each sequence alone. */
  readonly last?: boolean;
}

/** A sequence's part of a pass. */
interface Part {
  readonly cache: LayerCache;
  /** First row in the pass. */
  readonly first: number;
  readonly rows: number;
  /** Cached rows before those of the tree. */
  readonly past: number;
  /** Cached rows of the tree. */
  readonly before: number;
  /** For each row its place behind those, and the rows on its branch as two words; `null` for a chain. */
  readonly tree: { readonly depths: Int32Array; readonly branches: Int32Array } | null;
}

/** What rows see, and how they are cut into tiles. */
interface Sights {
  readonly rows: Tensor;
  readonly tiles: Tensor;
}

/** Where rows lie in the layers of a group, and what they see. */
interface Tables {
  readonly places: Tensor;
  readonly pages: Tensor;
  readonly all: Sights;
  /** For the last row of each sequence alone. */
  readonly last: Sights | null;
}

/** Depths and branches of a tree's rows; `null` where it is a chain. */
function treeOf(parents: readonly number[]): Part["tree"] {
  if (parents.every((parent, i) => parent === i - 1)) return null;
  if (parents.length > MOST_BRANCH_ROWS) {
    throw new ShapeError(
      "forward",
      `expected a tree of at most ${MOST_BRANCH_ROWS} rows, received ${parents.length}`,
    );
  }
  const depths = new Int32Array(parents.length), branches = new Int32Array(2 * parents.length);
  for (const [i, parent] of parents.entries()) {
    if (!Number.isInteger(parent) || parent < -1 || parent >= i) {
      throw new ShapeError(
        "forward",
        `expected a parent from -1 to ${i - 1} for row ${i}, received ${parent}`,
      );
    }
    if (parent >= 0) {
      depths[i] = depths[parent]! + 1;
      branches[2 * i] = branches[2 * parent]!;
      branches[2 * i + 1] = branches[2 * parent + 1]!;
    }
    branches[2 * i + (i >> 5)]! |= 1 << (i & 31);
  }
  return { depths, branches };
}

/** A branch without its oldest rows, where a window leaves those out. */
function newest(branch: Int32Array, dropped: number): readonly number[] {
  if (dropped <= 0) return [...branch];
  let bits = BigInt.asUintN(32, BigInt(branch[0]!)) | BigInt.asUintN(32, BigInt(branch[1]!)) << 32n;
  for (let i = 0; i < dropped; i++) bits &= bits - 1n;
  return [Number(BigInt.asIntN(32, bits)), Number(BigInt.asIntN(32, bits >> 32n))];
}

/** New rows behind those of some caches. It is used within one scope. */
export class CachePass {
  readonly #backend: Backend;
  readonly #groups: readonly CacheGroup[];
  readonly #parts: readonly Part[];
  readonly #sizes: AttentionSizes;
  readonly #tables: ReadonlyMap<CacheGroup, Tables>;
  readonly #longest: number;
  /** Rows in all. */
  readonly rows: number;
  /** Whether no sequence has more rows than a tree may: then a row's result must not depend on the others. */
  readonly steady: boolean;

  /** Use `Caches.pass`. */
  constructor(
    from: {
      readonly backend: Backend;
      readonly sizes: AttentionSizes;
      /** Groups of layers. */
      readonly kinds: readonly CacheGroup[];
      /** The group of each layer. */
      readonly groups: readonly CacheGroup[];
    },
    { sequences, parents, last = false }: PassRows,
  ) {
    this.#backend = from.backend;
    this.#sizes = from.sizes;
    this.#groups = from.groups;
    let first = 0, longest = 0;
    this.#parts = sequences.map(({ cache, rows, before = [] }) => {
      const tree = parents ? treeOf([...before, ...parents.slice(first, first + rows)]) : null;
      const past = cache.length - before.length;
      const part = { cache: cache as LayerCache, first, rows, past, before: before.length, tree };
      first += rows;
      longest = Math.max(longest, cache.length + rows);
      return part;
    });
    if (parents && parents.length !== first) {
      throw new ShapeError(
        "forward",
        `expected a parent for each of ${first} rows, received ${parents.length}`,
      );
    }
    for (const { cache, rows } of this.#parts) cache.reserve(rows);
    this.rows = first;
    this.steady = this.#parts.every(({ rows }) => rows <= MOST_BRANCH_ROWS);
    this.#longest = longest;
    // Now, not when a layer first asks: what is made inside a layer is gone after it.
    const tables = new Map<CacheGroup, Tables>();
    for (const group of from.kinds) tables.set(group, this.#tablesOf(group, last));
    this.#tables = tables;
  }

  /** Position of each row in its sequence. */
  positions(): Int32Array {
    const positions = new Int32Array(this.rows);
    for (const { first, rows, past, before, tree } of this.#parts) {
      for (let i = 0; i < rows; i++) {
        positions[first + i] = past + (tree ? tree.depths[before + i]! : before + i);
      }
    }
    return positions;
  }

  /** The last row of each sequence, in the pass. */
  lasts(): Int32Array {
    return Int32Array.from(this.#parts, ({ first, rows }) => first + rows - 1);
  }

  /**
   * Keeps a layer's new keys and values, and attends: q f32 `[T, heads·headDim]`, k and v f32 `[T, kvHeads·headDim]` → out like
   * q, lse f32 `[T, heads]`. Where `q` has only the last row of each sequence, only these are asked.
   */
  attend(
    run: Run,
    layer: number,
    x: { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor },
  ): { readonly out: Tensor; readonly lse: Tensor } {
    const { heads, kvHeads, headDim, scale } = this.#sizes, group = this.#groups[layer]!;
    const { keys, values } = group.pool.of(layer), { places, pages, all, last } = this.#tables.get(group)!;
    run(writePagesOp, [keys, values, x.k, x.v, places], {});
    const seen = x.q.shape[0] === this.rows ? all : last;
    if (!seen) throw new ShapeError("forward", `expected ${this.rows} queries, received ${x.q.shape[0]}`);
    const attrs = { heads, kvHeads, headDim, scale, longest: this.#longest };
    return pagedAttention(run, { q: x.q, k: keys, v: values, pages, ...seen }, attrs);
  }

  /** Takes the rows that every layer was given into use. */
  advance(): void {
    for (const { cache, rows } of this.#parts) cache.advance(rows);
  }

  #tablesOf(group: CacheGroup, last: boolean): Tables {
    const places = new Int32Array(this.rows), pages: number[] = [];
    for (const { cache, first, rows } of this.#parts) {
      const own = cache.pages(group), { length } = cache;
      for (let i = 0; i < rows; i++) {
        const row = length + i;
        places[first + i] = PAGE_ROWS * own[Math.floor(row / PAGE_ROWS)]! + row % PAGE_ROWS;
      }
      pages.push(...own);
    }
    return {
      places: this.#backend.from(places, [this.rows]),
      pages: this.#backend.from(new Int32Array(pages), [pages.length]),
      all: this.#sights(group, false),
      last: last && this.#parts.length < this.rows ? this.#sights(group, true) : null,
    };
  }

  #sights(group: CacheGroup, last: boolean): Sights {
    const window = group.window ?? Infinity, { heads, kvHeads } = this.#sizes;
    const most = Math.max(1, Math.floor(TILE_ROWS / (heads / kvHeads)));
    const rows: number[] = [], tiles: number[] = [];
    let table = 0;
    for (const part of this.#parts) {
      const { cache, past, before, tree } = part, first = rows.length / 4;
      for (let i = before + (last ? part.rows - 1 : 0); i < before + part.rows; i++) {
        const end = past + (tree ? tree.depths[i]! : i) + 1, low = Math.max(0, end - window);
        if (tree) {
          const branch = newest(tree.branches.subarray(2 * i, 2 * i + 2), low - past);
          rows.push(Math.min(low, past), past, ...branch);
        } else rows.push(low, end, 0, 0);
      }
      const count = rows.length / 4 - first, many = part.rows > MOST_BRANCH_ROWS ? 1 : 0;
      for (let i = 0; i < count; i += most) tiles.push(first + i, Math.min(most, count - i), table, many);
      table += cache.pages(group).length;
    }
    return {
      rows: this.#backend.from(new Int32Array(rows), [rows.length / 4, 4]),
      tiles: this.#backend.from(new Int32Array(tiles), [tiles.length / 4, 4]),
    };
  }
}
