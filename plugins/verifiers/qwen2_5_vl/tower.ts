/** Qwen2.5-VL's vision tower (Bai et al. 2025, arXiv 2502.13923): patches see their window, in some blocks their frame. */
import type { ImagePatches } from "../../../core/plugin.ts";
import type { Backend, Run, Tensor } from "../../../core/tensor.ts";
import { add, gather, gelu, linear, rmsnorm, swiglu } from "../../../kernels/ops/mod.ts";
import type { ImageRows, ImageTower } from "../../_shared/images.ts";
import {
  groupRanges,
  joinPatches,
  type PatchAttention,
  patchAttention,
  patchPlaces,
  patchRotation,
  patchRows,
} from "../../_shared/vision.ts";
import type { VisionSizes } from "./vision_config.ts";
import { windowsOf } from "./windows.ts";

/** Added to the mean square in the tower's norms. */
const EPS = 1e-6;

/** The tower's tensors by the rest of their names; vectors are f32. */
export type VisionTensors = (name: string) => Tensor;

/** The vision tower of a model. */
export class Qwen25VlTower implements ImageTower {
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
    this.token = sizes.images.token;
    this.axes = sizes.axes;
    this.merge = sizes.images.merge;
  }

  encode(run: Run, image: ImagePatches): ImageRows {
    const { depth, heads, headDim, patch, window, whole } = this.#sizes, [t, h, w] = image.grid;
    const count = t * h * w, backend = this.#backend, each = this.merge ** 2;
    using scope = backend.scope();
    // Window by window, so that what a patch sees lies side by side.
    const { order, lengths } = windowsOf(image.grid, { merge: this.merge, window });
    const moved = Int32Array.from(
      { length: count },
      (_, i) => order[Math.floor(i / each)]! * each + i % each,
    );
    const { rows, columns } = patchPlaces(image.grid, this.merge);
    const places = { rows: moved.map((from) => rows[from]!), columns: moved.map((from) => columns[from]!) };
    const seen = (groups: readonly number[]) => backend.from(groupRanges(groups), [count, 2]);
    const within = seen(lengths.map((n) => n * each)), all = seen(Array.from({ length: t }, () => h * w));
    const how = {
      heads,
      headDim,
      tables: patchRotation(backend, places, headDim),
      rows: backend.from(Int32Array.from({ length: count }, (_, i) => i), [count]),
    };
    const embedded = linear(run, patchRows(backend, image, patch), this.#tensors("patch_embed.proj.weight"));
    let x = gather(run, embedded, backend.from(moved, [count]));
    for (let block = 0; block < depth; block++) {
      x = this.#block(run, x, `blocks.${block}`, { ...how, ranges: whole.includes(block) ? all : within });
    }
    const joined = joinPatches(run, backend, this.#norm(run, x, "merger.ln_q"), each);
    const merged = this.#linear(run, gelu(run, this.#linear(run, joined, "merger.mlp.0")), "merger.mlp.2");
    const back = new Int32Array(order.length);
    order.forEach((from, i) => back[from] = i);
    return { rows: scope.keep(gather(run, merged, backend.from(back, [back.length]))), deep: [] };
  }

  #linear(run: Run, x: Tensor, name: string): Tensor {
    return add(run, linear(run, x, this.#tensors(`${name}.weight`)), this.#tensors(`${name}.bias`));
  }

  #norm(run: Run, x: Tensor, name: string): Tensor {
    return rmsnorm(run, x, this.#tensors(`${name}.weight`), EPS);
  }

  #block(run: Run, x: Tensor, name: string, how: PatchAttention): Tensor {
    const all = this.#linear(run, this.#norm(run, x, `${name}.norm1`), `${name}.attn.qkv`);
    const h = add(run, x, this.#linear(run, patchAttention(run, all, how), `${name}.attn.proj`));
    const rows = this.#norm(run, h, `${name}.norm2`);
    const gate = this.#linear(run, rows, `${name}.mlp.gate_proj`);
    const inner = swiglu(run, gate, this.#linear(run, rows, `${name}.mlp.up_proj`));
    return add(run, h, this.#linear(run, inner, `${name}.mlp.down_proj`));
  }
}
