/** Qwen3-VL's vision tower (Bai et al. 2025, arXiv 2511.21631): patches of an image become rows of the language model. */
import { ShapeError } from "../../../core/errors.ts";
import type { ImagePatches } from "../../../core/plugin.ts";
import type { Backend, Run, Tensor } from "../../../core/tensor.ts";
import { add, gather, gelu, layernorm, linear, mix } from "../../../kernels/ops/mod.ts";
import type { ImageRows, ImageTower } from "../../_shared/images.ts";
import {
  groupRanges,
  joinPatches,
  type PatchAttention,
  patchAttention,
  type PatchPlaces,
  patchPlaces,
  patchRotation,
  patchRows,
} from "../../_shared/vision.ts";
import type { VisionSizes } from "./vision_config.ts";

/** Added to the variance in the tower's norms. */
const EPS = 1e-6;

/** The tower's tensors by the rest of their names; vectors are f32. */
export type VisionTensors = (name: string) => Tensor;

/** The four neighbours of each patch in a table of `side × side` positions, and their shares. */
function neighbours({ rows, columns }: PatchPlaces, [, h, w]: ImagePatches["grid"], side: number): {
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
    const { depth, deepstack, hidden, merge, heads, headDim } = this.#sizes, [t, h, w] = image.grid;
    const patches = patchPlaces(image.grid, merge), count = t * h * w;
    using scope = this.#backend.scope();
    let x = this.#embed(run, image, patches);
    const deep: Tensor[] = [];
    const how: PatchAttention = {
      heads,
      headDim,
      tables: patchRotation(this.#backend, patches, headDim),
      rows: this.#backend.from(Int32Array.from({ length: count }, (_, i) => i), [count]),
      ranges: this.#backend.from(groupRanges(Array.from({ length: t }, () => h * w)), [count, 2]),
    };
    for (let block = 0; block < depth; block++) {
      x = this.#block(run, x, `blocks.${block}`, how);
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
  #embed(run: Run, image: ImagePatches, patches: PatchPlaces): Tensor {
    const { patch, side } = this.#sizes, count = patches.rows.length;
    const x = this.#linear(run, patchRows(this.#backend, image, patch), "patch_embed.proj");
    const { places, shares } = neighbours(patches, image.grid, side);
    const found = gather(run, this.#tensors("pos_embed.weight"), this.#backend.from(places, [4 * count]));
    return mix(run, x, found, this.#backend.from(shares, [count, 4]));
  }

  #block(run: Run, x: Tensor, name: string, how: PatchAttention): Tensor {
    const all = this.#linear(run, this.#norm(run, x, `${name}.norm1`), `${name}.attn.qkv`);
    const h = add(run, x, this.#linear(run, patchAttention(run, all, how), `${name}.attn.proj`));
    const inner = this.#linear(run, this.#norm(run, h, `${name}.norm2`), `${name}.mlp.linear_fc1`);
    return add(run, h, this.#linear(run, gelu(run, inner, { tanh: true }), `${name}.mlp.linear_fc2`));
  }

  #joined(run: Run, x: Tensor): Tensor {
    return joinPatches(run, this.#backend, x, this.merge ** 2);
  }

  #merged(run: Run, x: Tensor, name: string): Tensor {
    return this.#linear(run, gelu(run, this.#linear(run, x, `${name}.linear_fc1`)), `${name}.linear_fc2`);
  }
}
