/** Qwen3-VL's vision tower (Bai et al. 2025, arXiv 2511.21631): patches of an image become rows of the language model. */
import { ShapeError } from "../../../core/errors.ts";
import type { ImagePatches } from "../../../core/plugin.ts";
import type { Backend, Run, Tensor } from "../../../core/tensor.ts";
import {
  add,
  attention,
  concat,
  gather,
  gelu,
  layernorm,
  linear,
  mix,
  rope,
  type RopeTables,
  slice,
} from "../../../kernels/ops/mod.ts";
import type { ImageRows, ImageTower } from "../../_shared/images.ts";
import type { VisionSizes } from "./vision_config.ts";

/** Added to the variance in the tower's norms. */
const EPS = 1e-6;

/** Base of the tower's rotary frequencies. */
const THETA = 10000;

/** The tower's tensors by the rest of their names; vectors are f32. */
export type VisionTensors = (name: string) => Tensor;

/** Where the patches of an image are: they lie in blocks of `merge × merge`. */
interface Patches {
  readonly rows: Int32Array;
  readonly columns: Int32Array;
}

function patchesOf([t, h, w]: ImagePatches["grid"], merge: number): Patches {
  const rows = new Int32Array(t * h * w), columns = new Int32Array(t * h * w);
  for (let i = 0; i < rows.length; i++) {
    const within = i % (merge * merge), block = Math.floor(i / (merge * merge)) % (h / merge * (w / merge));
    rows[i] = Math.floor(block / (w / merge)) * merge + Math.floor(within / merge);
    columns[i] = block % (w / merge) * merge + within % merge;
  }
  return { rows, columns };
}

/** The four neighbours of each patch in a table of `side × side` positions, and their shares. */
function neighbours({ rows, columns }: Patches, [, h, w]: ImagePatches["grid"], side: number): {
  readonly places: Int32Array;
  readonly shares: Float32Array;
} {
  const places = new Int32Array(4 * rows.length), shares = new Float32Array(places.length);
  const along = (at: number, count: number) => {
    const place = count === 1 ? 0 : Math.fround(at * ((side - 1) / (count - 1))), low = Math.floor(place);
    return [[low, 1 - (place - low)], [Math.min(low + 1, side - 1), place - low]] as const;
  };
  rows.forEach((row, i) => {
    let k = 4 * i;
    for (const [y, shareY] of along(row, h)) {
      for (const [x, shareX] of along(columns[i]!, w)) {
        places[k] = y * side + x;
        shares[k++] = shareY * shareX;
      }
    }
  });
  return { places, shares };
}

/** The vision tower of a model. */
export class Qwen3VlTower implements ImageTower {
  readonly token: number;
  readonly axes: readonly number[];
  readonly merge: number;
  readonly #backend: Backend;
  readonly #sizes: VisionSizes;
  readonly #tensors: VisionTensors;

  /** @param tensors the tower's weights, which stay the caller's */
  constructor(backend: Backend, sizes: VisionSizes, tensors: VisionTensors) {
    this.#backend = backend;
    this.#sizes = sizes;
    this.#tensors = tensors;
    this.token = sizes.token;
    this.axes = sizes.axes;
    this.merge = sizes.merge;
  }

  encode(run: Run, image: ImagePatches): ImageRows {
    const { depth, deepstack, hidden, merge } = this.#sizes, [t, h, w] = image.grid;
    const patches = patchesOf(image.grid, merge), count = t * h * w;
    using scope = this.#backend.scope();
    let x = this.#embed(run, image, patches);
    const tables = this.#rotation(patches), deep: Tensor[] = [];
    const ranges = new Int32Array(2 * count).map((_, i) =>
      Math.floor(i / 2 / (h * w)) * h * w + (i % 2 === 0 ? 0 : h * w)
    );
    const rows = this.#backend.from(Int32Array.from({ length: count }, (_, i) => i), [count]);
    const seen = this.#backend.from(ranges, [count, 2]);
    for (let block = 0; block < depth; block++) {
      x = this.#block(run, x, { name: `blocks.${block}`, tables, rows, ranges: seen });
      const k = deepstack.indexOf(block);
      if (k >= 0) {
        const name = `deepstack_merger_list.${k}`;
        deep[k] = scope.keep(this.#merged(run, this.#norm(run, this.#joined(run, x), `${name}.norm`), name));
      }
    }
    const normed = this.#norm(run, x, "merger.norm");
    if (normed.shape[1] !== hidden) throw new ShapeError("forward", "expected the tower's width");
    return { rows: scope.keep(this.#merged(run, this.#joined(run, normed), "merger")), deep };
  }

  #linear(run: Run, x: Tensor, name: string): Tensor {
    return add(run, linear(run, x, this.#tensors(`${name}.weight`)), this.#tensors(`${name}.bias`));
  }

  #norm(run: Run, x: Tensor, name: string): Tensor {
    const weight = this.#tensors(`${name}.weight`), bias = this.#tensors(`${name}.bias`);
    return layernorm(run, x, { weight, bias, eps: EPS });
  }

  /** Patches as rows, with what stands for their places: the table of these is drawn to the image's size. */
  #embed(run: Run, { pixels, grid }: ImagePatches, patches: Patches): Tensor {
    const { patch, side } = this.#sizes, count = patches.rows.length;
    if (pixels.length !== count * patch) {
      throw new ShapeError(
        "forward",
        `expected ${count} patches of ${patch} numbers for a grid of ${
          grid.join(" × ")
        }, received ${pixels.length} numbers`,
      );
    }
    const { places, shares } = neighbours(patches, grid, side);
    const x = this.#linear(run, this.#backend.from(pixels, [count, patch]), "patch_embed.proj");
    const found = gather(run, this.#tensors("pos_embed.weight"), this.#backend.from(places, [4 * count]));
    return mix(run, x, found, this.#backend.from(shares, [count, 4]));
  }

  /** Angles: the first half of the frequencies turn with the patch's row, the second with its column. */
  #rotation({ rows, columns }: Patches): RopeTables {
    const { headDim } = this.#sizes, half = headDim / 2, quarter = half / 2;
    const cos = new Float32Array(rows.length * half), sin = new Float32Array(cos.length);
    for (let i = 0; i < cos.length; i++) {
      const patch = Math.floor(i / half), j = i % half, at = (j < quarter ? rows : columns)[patch]!;
      const angle = Math.fround(at * Math.fround(THETA ** (-2 * (j % quarter) / half)));
      cos[i] = Math.cos(angle);
      sin[i] = Math.sin(angle);
    }
    const shape = [rows.length, half];
    return { cos: this.#backend.from(cos, shape), sin: this.#backend.from(sin, shape) };
  }

  #block(run: Run, x: Tensor, { name, tables, rows, ranges }: {
    readonly name: string;
    readonly tables: RopeTables;
    readonly rows: Tensor;
    readonly ranges: Tensor;
  }): Tensor {
    const { heads, headDim, hidden } = this.#sizes;
    const all = this.#linear(run, this.#norm(run, x, `${name}.norm1`), `${name}.attn.qkv`);
    const part = (i: number) => slice(run, all, { axis: 1, start: i * hidden, end: (i + 1) * hidden });
    const turned = (i: number) => rope(run, part(i), tables, rows, headDim);
    const attrs = { heads, kvHeads: heads, headDim, scale: headDim ** -0.5 };
    const attended = attention(run, { q: turned(0), k: turned(1), v: part(2), ranges }, attrs);
    const h = add(run, x, this.#linear(run, attended, `${name}.attn.proj`));
    const inner = this.#linear(run, this.#norm(run, h, `${name}.norm2`), `${name}.mlp.linear_fc1`);
    return add(run, h, this.#linear(run, gelu(run, inner, { tanh: true }), `${name}.mlp.linear_fc2`));
  }

  /** The patches of each block side by side: `[n·m², width]` → `[n, m²·width]`. */
  #joined(run: Run, x: Tensor): Tensor {
    const each = this.merge ** 2, count = x.shape[0]! / each;
    const nth = (i: number) => Int32Array.from({ length: count }, (_, row) => row * each + i);
    const parts = Array.from({ length: each }, (_, i) => gather(run, x, this.#backend.from(nth(i), [count])));
    return concat(run, parts, 1);
  }

  #merged(run: Run, x: Tensor, name: string): Tensor {
    return this.#linear(run, gelu(run, this.#linear(run, x, `${name}.linear_fc1`)), `${name}.linear_fc2`);
  }
}
