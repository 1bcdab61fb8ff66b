/** Keys and values of sequences that are worked together: each has pages of common pools. */
import { ShapeError } from "../../core/errors.ts";
import type { KvCache } from "../../core/plugin.ts";
import type { Backend, Tensor } from "../../core/tensor.ts";
import { keepPagesOp, PAGE_ROWS } from "../../kernels/ops/mod.ts";
import { CachePass, type PassRows } from "./cache_pass.ts";
import { PagePool } from "./page_pool.ts";

/** Sizes of attention. */
export interface AttentionSizes {
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Entries of a head. */
  readonly headDim: number;
  /** Factor of the scores. */
  readonly scale: number;
}

/** Sizes of {@linkcode Caches}. */
export interface CacheSizes extends AttentionSizes {
  /** Layers. */
  readonly layers: number;
  /** Keys that a row of a layer sees at most, `null` for all; all in every layer when absent. */
  readonly windows?: readonly (number | null)[];
  /** Storage; f32 when absent. */
  readonly dtype?: "f32" | "bf16";
}

/** Rows that a layer of a window keeps beyond it, so that rejected ones can be forgotten. */
const ROLLBACK = 2 * PAGE_ROWS;

/** The layers of one window, and their pages. */
export interface CacheGroup {
  /** Keys that a row sees at most; `null` for all. */
  readonly window: number | null;
  /** Keys and values. */
  readonly pool: PagePool;
}

/** Caches over common pools. */
export class Caches implements Disposable {
  readonly #backend: Backend;
  readonly #sizes: AttentionSizes;
  readonly #groups: readonly CacheGroup[];
  readonly #byLayer: readonly CacheGroup[];

  /** No sequence yet. */
  constructor(backend: Backend, sizes: CacheSizes) {
    const { layers, kvHeads, headDim, windows, dtype = "f32" } = sizes, width = kvHeads * headDim;
    this.#sizes = sizes;
    const windowOf = (layer: number) => windows?.[layer] ?? null,
      all = Array.from({ length: layers }, (_, i) => i);
    this.#backend = backend;
    this.#groups = [...new Set(all.map(windowOf))].map((window) => ({
      window,
      pool: new PagePool(backend, {
        layers: all.filter((layer) => windowOf(layer) === window),
        width,
        dtype,
      }),
    }));
    this.#byLayer = all.map((layer) => this.#groups.find(({ window }) => window === windowOf(layer))!);
  }

  /** An empty cache. */
  open(capacity: number): LayerCache {
    return new LayerCache(this.#backend, { capacity, owner: this, groups: this.#groups });
  }

  /**
   * New rows behind those of some sequences' caches. Nothing is changed before {@linkcode CachePass.advance}.
   *
   * @throws {ShapeError} when a cache has no room, is of other pools, or the rows are no trees
   */
  pass(rows: PassRows): CachePass {
    const caches = rows.sequences.map(({ cache }) => cache);
    if (!caches.every((cache) => cache instanceof LayerCache && cache.owner === this)) {
      throw new ShapeError("forward", "expected caches of this model, of one dtype, received others");
    }
    if (new Set(caches).size < caches.length) {
      throw new ShapeError("forward", "expected each cache once, received one twice");
    }
    return new CachePass({
      backend: this.#backend,
      sizes: this.#sizes,
      kinds: this.#groups,
      groups: this.#byLayer,
    }, rows);
  }

  [Symbol.dispose](): void {
    for (const { pool } of this.#groups) pool[Symbol.dispose]();
  }
}

/** A sequence's pages. Going back is setting the length. */
export class LayerCache implements KvCache {
  readonly capacity: number;
  /** Where it is from. */
  readonly owner: Caches;
  readonly #backend: Backend;
  readonly #groups: readonly CacheGroup[];
  /** For each group the page of rows 64·i …; −1 where it was given back, being out of every window. */
  readonly #pages: ReadonlyMap<CacheGroup, number[]>;
  #gone = 0;
  #length = 0;
  #open = true;

  /** Use {@linkcode Caches.open}. */
  constructor(
    backend: Backend,
    from: { readonly capacity: number; readonly owner: Caches; readonly groups: readonly CacheGroup[] },
  ) {
    const { capacity } = from;
    if (!Number.isInteger(capacity) || capacity < 0) {
      throw new ShapeError("cache", `expected a whole number of rows, received ${capacity}`);
    }
    this.capacity = capacity;
    this.owner = from.owner;
    this.#backend = backend;
    this.#groups = from.groups;
    this.#pages = new Map(from.groups.map((group) => [group, group.pool.take(1)]));
  }

  /** Rows in use. */
  get length(): number {
    return this.#length;
  }

  /**
   * Checks that there is room, and takes the pages for it.
   *
   * @throws {ShapeError} when there is not
   */
  reserve(rows: number): void {
    if (!this.#open) {
      throw new ShapeError("forward", "expected an open cache, received one that was disposed");
    }
    if (this.#length + rows > this.capacity) {
      throw new ShapeError(
        "forward",
        `expected at most ${
          this.capacity - this.#length
        } more rows in a cache of ${this.capacity}, received ${rows}`,
      );
    }
    const needed = Math.ceil((this.#length + rows) / PAGE_ROWS);
    for (const [group, pages] of this.#pages) {
      if (pages.length < needed) pages.push(...group.pool.take(needed - pages.length));
    }
  }

  /** The pages of a group's layers. */
  pages(group: CacheGroup): readonly number[] {
    return this.#pages.get(group)!;
  }

  /** Takes rows that every layer was given into use. */
  advance(rows: number): void {
    this.#length += rows;
    for (const [{ window, pool }, pages] of this.#pages) {
      if (window === null) continue;
      const gone = Math.floor((this.#length - window - ROLLBACK) / PAGE_ROWS), given: number[] = [];
      for (let i = gone - 1; i >= 0 && pages[i]! >= 0; i--) {
        given.push(pages[i]!);
        pages[i] = -1;
      }
      if (given.length > 0) {
        pool.give(given);
        this.#gone = Math.max(this.#gone, gone * PAGE_ROWS + window);
      }
    }
  }

  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length) {
      throw new ShapeError("truncate", `expected a length from 0 to ${this.#length}, received ${length}`);
    }
    if (length < this.#gone && length > 0) {
      throw new ShapeError("truncate", `expected at least ${this.#gone} rows, or none, received ${length}`, {
        hint: "Layers that see only the last keys have given the others up; begin again from an empty cache",
      });
    }
    if (length === 0 && this.#gone > 0) {
      for (const [{ pool }, pages] of this.#pages) {
        pool.give(pages.filter((page) => page >= 0));
        pages.length = 0;
      }
      this.#gone = 0;
    }
    this.#length = length;
  }

  keep(start: number, rows: readonly number[]): void {
    const limit = this.#length - start;
    if (
      !Number.isInteger(start) || start < 0 || limit < 0 ||
      rows.some((row, i) => !Number.isInteger(row) || row >= limit || row <= (rows[i - 1] ?? -1))
    ) {
      throw new ShapeError("keep", `expected ascending rows below ${limit}, received ${rows.join(", ")}`);
    }
    const moved = rows.flatMap((row, i) => row === i ? [] : [[start + row, start + i] as const]);
    if (moved.length > 0) { for (const group of this.#groups) this.#move(group, moved); }
    this.#length = start + rows.length;
  }

  #move(group: CacheGroup, moved: readonly (readonly [from: number, to: number])[]): void {
    const pages = this.pages(group);
    const place = (row: number) => PAGE_ROWS * pages[Math.floor(row / PAGE_ROWS)]! + row % PAGE_ROWS;
    const places = Int32Array.from([
      ...moved.map(([from]) => place(from)),
      ...moved.map(([, to]) => place(to)),
    ]);
    const tensor: Tensor = this.#backend.from(places, [2, moved.length]);
    for (const layer of group.pool.layers) {
      const { keys, values } = group.pool.of(layer);
      this.#backend.run(keepPagesOp, [keys, values, tensor], {});
    }
    tensor[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    for (const [{ pool }, pages] of this.#pages) pool.give(pages.filter((page) => page >= 0));
  }
}
