/** Pages of keys and values, of which sequences take as many as they have rows for. */
import type { Backend, DType, Tensor } from "../../core/tensor.ts";
import { growPagesOp, PAGE_ROWS } from "../../kernels/ops/mod.ts";

/** A layer's keys and values. */
interface LayerPool {
  keys: Tensor;
  values: Tensor;
}

/** The pages of some layers: a page is one of each of them. It grows by half, and is given up when nobody has a page. */
export class PagePool implements Disposable {
  readonly #backend: Backend;
  readonly #width: number;
  readonly #dtype: DType;
  readonly #layers: ReadonlyMap<number, number>;
  readonly #free: number[] = [];
  #pools: LayerPool[] = [];
  #pages = 0;

  /** An empty pool for these layers; rows of `width` entries. */
  constructor(
    backend: Backend,
    sizes: { readonly layers: readonly number[]; readonly width: number; readonly dtype: DType },
  ) {
    this.#backend = backend;
    this.#width = sizes.width;
    this.#dtype = sizes.dtype;
    this.#layers = new Map(sizes.layers.map((layer, place) => [layer, place]));
  }

  /** Layers that are kept here. */
  get layers(): Iterable<number> {
    return this.#layers.keys();
  }

  /** Keys and values of a layer, `[64·pages, width]` each; valid until a page is taken. */
  of(layer: number): { readonly keys: Tensor; readonly values: Tensor } {
    return this.#pools[this.#layers.get(layer)!]!;
  }

  /** Takes pages that nobody has. */
  take(count: number): number[] {
    if (this.#free.length < count) this.#grow(count - this.#free.length);
    return Array.from({ length: count }, () => this.#free.pop()!);
  }

  /** Takes pages back. */
  give(pages: readonly number[]): void {
    this.#free.push(...pages);
    if (this.#free.length === this.#pages) this[Symbol.dispose]();
  }

  #grow(needed: number): void {
    const backend = this.#backend, pages = Math.max(this.#pages + needed, Math.ceil(1.5 * this.#pages));
    const larger = (old: Tensor | undefined): Tensor => {
      const pool = old
        ? backend.run(growPagesOp, [old], { pages })[0]!
        : backend.zeros([PAGE_ROWS * pages, this.#width], this.#dtype);
      old?.[Symbol.dispose]();
      // The pool outlives the pass that it grows in.
      return backend.detach(pool);
    };
    for (let place = 0; place < this.#layers.size; place++) {
      const old = this.#pools[place];
      const keys = larger(old?.keys);
      this.#pools[place] = { keys, values: larger(old?.values) };
    }
    for (let page = pages - 1; page >= this.#pages; page--) this.#free.push(page);
    this.#pages = pages;
  }

  [Symbol.dispose](): void {
    for (const { keys, values } of this.#pools) {
      keys[Symbol.dispose]();
      values[Symbol.dispose]();
    }
    this.#pools = [];
    this.#pages = 0;
    this.#free.length = 0;
  }
}
