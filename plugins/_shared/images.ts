/** Images among the rows of a pass: where they stand, and how rows are rotated that have three positions each. */
import { ShapeError } from "../../core/errors.ts";
import type { ImagePatches, KvCache } from "../../core/plugin.ts";
import type { Backend, Run, Tensor } from "../../core/tensor.ts";
import { add, type RopeTables, scatterAdd, writeRows } from "../../kernels/ops/mod.ts";
import type { RopeFrequencies } from "./rope.ts";

/** What a tower makes of an image: n rows for its n tokens. */
export interface ImageRows {
  /** f32 `[n, hidden]`: what stands in the place of the tokens' embeddings. */
  readonly rows: Tensor;
  /** f32 `[n, hidden]` each: added to the tokens' rows after the first layers, one a layer. */
  readonly deep: readonly Tensor[];
}

/** The part of a model that reads images. */
export interface ImageTower {
  /** The token whose rows an image takes the place of. */
  readonly token: number;
  /** Patches along each side that become one row. */
  readonly merge: number;
  /** For each rotary frequency the position that turns it: 0 time, 1 height, 2 width. */
  readonly axes: readonly number[];
  /** Reads an image. */
  encode(run: Run, image: ImagePatches): ImageRows;
}

/** An image, and the row it begins at. */
interface Placed {
  readonly image: ImagePatches;
  readonly at: number;
  readonly rows: number;
}

/** Rows that go behind one another: of a sequence with a cache, or of a document. */
export interface Part {
  readonly rows: number;
  readonly cache: KvCache | null;
}

/** Where a cache's positions run ahead of its rows: behind an image. */
interface Shift {
  readonly from: number;
  readonly by: number;
}

/** The rotation of a pass. */
export interface Rotation {
  readonly tables: RopeTables;
  readonly positions: Tensor;
}

function rowsOf({ grid: [t, h, w] }: ImagePatches, merge: number): number {
  return t * Math.floor(h / merge) * Math.floor(w / merge);
}

/** Finds the rows of each image: runs of the image token, as long as the image is large. */
function place(tokens: Int32Array, images: readonly ImagePatches[], tower: ImageTower): Placed[] {
  const placed: Placed[] = [], { token, merge } = tower;
  let row = 0;
  for (const image of images) {
    const [t, h, w] = image.grid, rows = rowsOf(image, merge);
    if (![t, h, w].every((n) => Number.isInteger(n) && n > 0) || h % merge !== 0 || w % merge !== 0) {
      throw new ShapeError(
        "forward",
        `expected images of a grid whose height and width are multiples of ${merge}, received ${t} × ${h} × ${w}`,
      );
    }
    while (row < tokens.length && tokens[row] !== token) row++;
    const found = tokens.subarray(row, row + rows);
    if (found.length < rows || !found.every((id) => id === token)) {
      throw new ShapeError(
        "forward",
        `expected ${rows} tokens ${token} in a row for image ${placed.length}, received fewer`,
      );
    }
    placed.push({ image, at: row, rows });
    row += rows;
  }
  if (tokens.subarray(row).includes(token)) {
    throw new ShapeError(
      "forward",
      `expected an image for each token ${token}, received ${images.length} images`,
    );
  }
  return placed;
}

/** Images in a model's passes, and what its caches remember of them. */
export class Images {
  readonly #backend: Backend;
  readonly #tower: ImageTower;
  readonly #frequencies: RopeFrequencies;
  readonly #shifts = new WeakMap<KvCache, Shift[]>();

  /** @param frequencies the model's rotary frequencies */
  constructor(backend: Backend, tower: ImageTower, frequencies: RopeFrequencies) {
    this.#backend = backend;
    this.#tower = tower;
    this.#frequencies = frequencies;
  }

  /** How far positions run ahead of a cache's rows. */
  #shift(cache: KvCache | null): number {
    if (!cache) return 0;
    const shifts = (this.#shifts.get(cache) ?? []).filter(({ from }) => from <= cache.length);
    this.#shifts.set(cache, shifts);
    return shifts.at(-1)?.by ?? 0;
  }

  /** Moves the positions of rows without images behind those that are in the caches. */
  shifted(positions: Int32Array, parts: readonly Part[]): Int32Array {
    if (parts.every(({ cache }) => this.#shift(cache) === 0)) return positions;
    const moved = positions.slice();
    let first = 0;
    for (const { rows, cache } of parts) {
      const by = this.#shift(cache);
      for (let row = first; row < first + rows; row++) moved[row]! += by;
      first += rows;
    }
    return moved;
  }

  /**
   * Reads the images of a pass.
   *
   * @throws {ShapeError} when the tokens have not their rows, or a part of them is in another part of the pass
   */
  read(run: Run, images: readonly ImagePatches[], pass: {
    readonly tokens: Tensor | Int32Array;
    readonly parts: readonly Part[];
  }): PassImages {
    if (!(pass.tokens instanceof Int32Array)) {
      throw new ShapeError("forward", "expected tokens in plain memory beside images, received a tensor");
    }
    const placed = place(pass.tokens, images, this.#tower);
    const { axes, ends } = this.#positions(placed, pass.parts);
    return {
      rotation: this.#rotation(axes),
      embedded: new PlacedRows(
        this.#backend,
        placed.map(({ image, at, rows }) => {
          const found = this.#tower.encode(run, image);
          return { ...found, at, count: rows };
        }),
      ),
      advance: () => {
        pass.parts.forEach(({ cache }, i) => {
          if (cache) this.#shifts.get(cache)!.push({ from: cache.length, by: ends[i]! - cache.length });
        });
      },
    };
  }

  /** Three positions of each row, and where each part's go on. */
  #positions(placed: readonly Placed[], parts: readonly Part[]): { axes: Int32Array[]; ends: number[] } {
    const total = parts.reduce((sum, { rows }) => sum + rows, 0), ends: number[] = [];
    const axes = [0, 1, 2].map(() => new Int32Array(total)), { merge } = this.#tower;
    let first = 0, next = 0;
    for (const { rows, cache } of parts) {
      let position = (cache?.length ?? 0) + this.#shift(cache), row = first;
      while (row < first + rows) {
        const one = placed[next];
        if (one?.at !== row) {
          for (const axis of axes) axis[row] = position;
          position++;
          row++;
          continue;
        }
        if (row + one.rows > first + rows) {
          throw new ShapeError("forward", `expected image ${next} in one sequence, received it across two`);
        }
        const [t, h, w] = one.image.grid, [down, across] = [h / merge, w / merge];
        for (let i = 0; i < one.rows; i++, row++) {
          const at = [Math.floor(i / (down * across)), Math.floor(i / across) % down, i % across];
          axes.forEach((axis, a) => axis[row] = position + at[a]!);
        }
        position += Math.max(t, down, across);
        next++;
      }
      ends.push(position);
      first += rows;
    }
    return { axes, ends };
  }

  /** Tables with a row for each row of the pass. */
  #rotation(axes: readonly Int32Array[]): Rotation {
    const { inverse, factor } = this.#frequencies, rows = axes[0]!.length, half = inverse.length;
    const cos = new Float32Array(rows * half), sin = new Float32Array(rows * half);
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < half; i++) {
        const angle = Math.fround(axes[this.#tower.axes[i]!]![row]! * inverse[i]!);
        cos[row * half + i] = Math.cos(angle) * factor;
        sin[row * half + i] = Math.sin(angle) * factor;
      }
    }
    return {
      tables: { cos: this.#backend.from(cos, [rows, half]), sin: this.#backend.from(sin, [rows, half]) },
      positions: this.#backend.from(Int32Array.from({ length: rows }, (_, i) => i), [rows]),
    };
  }
}

/** The images of one pass. */
export interface PassImages {
  /** How its rows are rotated. */
  readonly rotation: Rotation;
  /** The images' rows. */
  readonly embedded: PlacedRows;
  /** Remembers the images' positions; after the caches have taken the rows into use. */
  advance(): void;
}

/** Rows of images in the stream. */
export class PlacedRows {
  readonly #backend: Backend;
  readonly #images: readonly (ImageRows & { readonly at: number; readonly count: number })[];

  /** Rows and where they go. */
  constructor(
    backend: Backend,
    images: readonly (ImageRows & { readonly at: number; readonly count: number })[],
  ) {
    this.#backend = backend;
    this.#images = images;
  }

  /** Puts them in the place of the tokens' embeddings: x is changed. */
  embed(run: Run, x: Tensor): Tensor {
    for (const { rows, at } of this.#images) writeRows(run, x, rows, at);
    return x;
  }

  /** Adds to the stream what belongs there after a layer; `x` itself where nothing does. */
  after(run: Run, layer: number, x: Tensor): Tensor {
    let sum = x;
    for (const { deep, at, count } of this.#images) {
      const rows = deep[layer];
      if (!rows) continue;
      const places = this.#backend.from(Int32Array.from({ length: count }, (_, i) => at + i), [count]);
      sum = add(run, sum, scatterAdd(run, rows, places, x.shape[0]!));
    }
    return sum;
  }
}
