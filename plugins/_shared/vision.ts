/** What the vision towers of the Qwen-VL families have in common. */
import { ShapeError } from "../../core/errors.ts";
import type { ImagePatches } from "../../core/plugin.ts";
import type { Backend, Run, Tensor } from "../../core/tensor.ts";
import { attention, concat, gather, rope, type RopeTables, slice } from "../../kernels/ops/mod.ts";

/** Base of the towers' rotary frequencies. */
const THETA = 10000;

/** Where the patches of an image are: they lie in blocks of `merge × merge`. */
export interface PatchPlaces {
  /** Row of each patch in its frame. */
  readonly rows: Int32Array;
  /** Its column. */
  readonly columns: Int32Array;
}

/** Rows and columns of the patches of a grid. */
export function patchPlaces([t, h, w]: ImagePatches["grid"], merge: number): PatchPlaces {
  const rows = new Int32Array(t * h * w), columns = new Int32Array(t * h * w);
  for (let i = 0; i < rows.length; i++) {
    const within = i % (merge * merge), block = Math.floor(i / (merge * merge)) % (h / merge * (w / merge));
    rows[i] = Math.floor(block / (w / merge)) * merge + Math.floor(within / merge);
    columns[i] = block % (w / merge) * merge + within % merge;
  }
  return { rows, columns };
}

/** The patches of an image on the device: f32 `[n, patch]`. */
export function patchRows(backend: Backend, { pixels, grid }: ImagePatches, patch: number): Tensor {
  const count = grid[0] * grid[1] * grid[2];
  if (pixels.length === count * patch) return backend.from(pixels, [count, patch]);
  throw new ShapeError(
    "forward",
    `expected ${count} patches of ${patch} numbers for a grid of ${
      grid.join(" × ")
    }, received ${pixels.length} numbers`,
  );
}

/** `[start, end)` of the rows that each row sees, from the lengths of groups that lie one after the other. */
export function groupRanges(lengths: readonly number[]): Int32Array {
  const ranges = new Int32Array(2 * lengths.reduce((sum, n) => sum + n, 0));
  let start = 0;
  for (const length of lengths) {
    for (let row = start; row < start + length; row++) {
      ranges[2 * row] = start;
      ranges[2 * row + 1] = start + length;
    }
    start += length;
  }
  return ranges;
}

/** Angles: the first half of the frequencies turn with the patch's row, the second with its column. */
export function patchRotation(backend: Backend, { rows, columns }: PatchPlaces, headDim: number): RopeTables {
  const half = headDim / 2, quarter = half / 2;
  const cos = new Float32Array(rows.length * half), sin = new Float32Array(cos.length);
  for (let i = 0; i < cos.length; i++) {
    const patch = Math.floor(i / half), j = i % half, at = (j < quarter ? rows : columns)[patch]!;
    const angle = Math.fround(at * Math.fround(THETA ** (-2 * (j % quarter) / half)));
    cos[i] = Math.cos(angle);
    sin[i] = Math.sin(angle);
  }
  const shape = [rows.length, half];
  return { cos: backend.from(cos, shape), sin: backend.from(sin, shape) };
}

/** How patches see each other. */
export interface PatchAttention {
  /** Heads of the block. */
  readonly heads: number;
  /** Entries of a head. */
  readonly headDim: number;
  /** Angles, a row for each patch. */
  readonly tables: RopeTables;
  /** i32 `[n]`: 0, 1, …. */
  readonly rows: Tensor;
  /** i32 `[n, 2]`: the patches that each sees. */
  readonly ranges: Tensor;
}

/** Attention of patches: f32 `[n, 3·heads·headDim]`, all of q, then k, then v → f32 `[n, heads·headDim]`. */
export function patchAttention(run: Run, qkv: Tensor, how: PatchAttention): Tensor {
  const { heads, headDim, tables, rows, ranges } = how, hidden = heads * headDim;
  const part = (i: number) => slice(run, qkv, { axis: 1, start: i * hidden, end: (i + 1) * hidden });
  const turned = (i: number) => rope(run, part(i), tables, rows, headDim);
  const attrs = { heads, kvHeads: heads, headDim, scale: headDim ** -0.5 };
  return attention(run, { q: turned(0), k: turned(1), v: part(2), ranges }, attrs);
}

/** The patches of each block side by side: f32 `[n·each, width]` → f32 `[n, each·width]`. */
export function joinPatches(run: Run, backend: Backend, x: Tensor, each: number): Tensor {
  const count = x.shape[0]! / each;
  const nth = (i: number) => Int32Array.from({ length: count }, (_, row) => row * each + i);
  const parts = Array.from({ length: each }, (_, i) => gather(run, x, backend.from(nth(i), [count])));
  return concat(run, parts, 1);
}
