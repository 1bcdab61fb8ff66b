/** Keys and values of a sequence, a buffer of each for every layer. */
import { ShapeError } from "../../core/errors.ts";
import type { KvCache } from "../../core/plugin.ts";
import type { Backend, Tensor } from "../../core/tensor.ts";
import { writeRows } from "../../kernels/ops/mod.ts";
import { CachedRanges, type Packing } from "./ranges.ts";

/** Sizes of a {@linkcode LayerCache}. */
export interface CacheSizes {
  /** Layers. */
  readonly layers: number;
  /** Rows there is room for. */
  readonly capacity: number;
  /** Entries of a row, `kvHeads · headDim`. */
  readonly width: number;
}

/** Rows are written behind those in use, so going back is setting the length. */
export class LayerCache implements KvCache {
  readonly capacity: number;
  readonly #backend: Backend;
  readonly #keys: Tensor[] = [];
  readonly #values: Tensor[] = [];
  readonly #ranges: CachedRanges;
  #length = 0;

  /** An empty cache; f32 `[capacity, width]` twice for each layer. */
  constructor(backend: Backend, sizes: CacheSizes) {
    const { layers, capacity, width } = sizes;
    if (!Number.isInteger(capacity) || capacity < 0) {
      throw new ShapeError("cache", `expected a whole number of rows, received ${capacity}`);
    }
    this.capacity = capacity;
    this.#backend = backend;
    this.#ranges = new CachedRanges(capacity);
    for (let layer = 0; layer < layers; layer++) {
      this.#keys.push(backend.zeros([capacity, width]));
      this.#values.push(backend.zeros([capacity, width]));
    }
  }

  /** Rows in use. */
  get length(): number {
    return this.#length;
  }

  /** Puts new rows behind those in use; gives all keys and values of the layer. */
  append(layer: number, k: Tensor, v: Tensor): { readonly k: Tensor; readonly v: Tensor } {
    const { run } = this.#backend, at = this.#length;
    return {
      k: writeRows(run, this.#keys[layer]!, k, at),
      v: writeRows(run, this.#values[layer]!, v, at),
    };
  }

  /** What new rows behind those in use see. */
  next(rows: number): Packing {
    this.reserve(rows);
    return this.#ranges.behind(this.#length, rows);
  }

  /** Takes the rows that every layer has been given into use. */
  advance(rows: number): void {
    this.reserve(rows);
    this.#length += rows;
  }

  /**
   * Checks that there is room.
   *
   * @throws {ShapeError} when there is not
   */
  reserve(rows: number): void {
    if (this.#length + rows > this.capacity) {
      throw new ShapeError(
        "forward",
        `expected at most ${
          this.capacity - this.#length
        } more rows in a cache of ${this.capacity}, received ${rows}`,
      );
    }
  }

  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length) {
      throw new ShapeError("truncate", `expected a length from 0 to ${this.#length}, received ${length}`);
    }
    this.#length = length;
  }

  [Symbol.dispose](): void {
    for (const tensor of [...this.#keys, ...this.#values]) tensor[Symbol.dispose]();
  }
}
