/**
 * What the core is handed by whoever puts the program together: it computes only through these, and so knows neither a
 * backend nor a kernel nor a plugin by name.
 *
 * @module
 */
import type { CastOps } from "./compute_dtype.ts";
import type { SelectVocabulary } from "./data/vocabulary.ts";
import type { Dequantise } from "./formats/gguf.ts";
import type { OptimizerOps } from "./optim.ts";
import type { Registry } from "./registry.ts";
import type { TapeOps } from "./tape.ts";
import type { Backend, Run, Tensor } from "./tensor.ts";

/** The ops that the core's own loops need; the module `kernels/ops/mod.ts` is one such set as it is. */
export interface CoreOps extends TapeOps, OptimizerOps, CastOps {
  /** Index of the largest entry of each row: f32 `[T, V]` → i32 `[T]`. */
  argmax(run: Run, x: Tensor): Tensor;
  /** Rows of a table by number: `[V, H]` or `[V]`, ids i32 `[T]` → `[T, H]` or `[T]`. */
  gather(run: Run, table: Tensor, ids: Tensor): Tensor;
  /** Joins tensors along an axis. */
  concat(run: Run, inputs: readonly Tensor[], axis: number): Tensor;
  /** Cuts a part out of an axis. */
  slice(
    run: Run,
    x: Tensor,
    attrs: { readonly axis: number; readonly start: number; readonly end: number },
  ): Tensor;
}

/** What stages work with. */
export interface Runtime {
  /** The plugins. */
  readonly registry: Registry;
  /** Ops of the core's own loops. */
  readonly ops: CoreOps;
  /** Opens the place to compute; whoever calls it disposes of it. */
  openBackend(): Promise<Backend>;
  /** Chooses a draft vocabulary: the heavy part of the mapping. */
  readonly selectVocabulary: SelectVocabulary;
  /** Widens weights that are quantised in blocks; without it, those of GGUF files cannot be read. */
  readonly dequantise?: Dequantise;
  /** Asks stages to stop. */
  readonly signal?: AbortSignal;
}
