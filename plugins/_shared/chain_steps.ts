/** Passes of a draft over rows behind the caches of several sequences. */
import type { Backend, Tensor } from "../../core/tensor.ts";
import { gather, type RopeTables, slice, steady } from "../../kernels/ops/mod.ts";
import type { PassRows } from "./cache_pass.ts";
import type { ChainDraft } from "./chain_draft.ts";
import { Caches, type LayerCache } from "./kv_cache.ts";
import { ropeTables } from "./rope.ts";

/** Rows and what they are made of. */
export interface StepInput extends PassRows {
  /** i32 `[T]`: the verifier's id of the token at each row. */
  readonly ids: Tensor;
  /** f32 `[T, H]`: what `ChainDraft.enter` made of the verifier's states, or outputs of a pass before. */
  readonly hidden: Tensor;
  /** Rows whose output is wanted; the last one of each sequence when absent. */
  readonly asked?: "all" | "last";
}

/** A draft's caches and rotation. */
export class ChainSteps implements Disposable {
  readonly #backend: Backend;
  readonly #draft: ChainDraft;
  readonly #caches: Caches;
  #tables: { readonly positions: number; readonly rope: RopeTables } | null = null;

  /** The draft stays the caller's. */
  constructor(backend: Backend, draft: ChainDraft) {
    const { layers, heads, kvHeads, headDim } = draft.sizes;
    this.#backend = backend;
    this.#draft = draft;
    this.#caches = new Caches(backend, { layers, heads, kvHeads, headDim, scale: headDim ** -0.5 });
  }

  /** An empty cache for a sequence of `capacity` tokens, with room for `spare` rows of a tree behind them. */
  open(capacity: number, spare = 0): LayerCache {
    this.#reach(capacity + spare);
    return this.#caches.open(capacity + spare);
  }

  /** One pass: f32 `[S or T, H]`, the output of each sequence's last row, or of all rows. */
  pass({ ids, hidden, asked = "last", ...rows }: StepInput): Tensor {
    const backend = this.#backend, { layers, headDim, eps } = this.#draft.sizes;
    const pass = this.#caches.pass({ ...rows, last: asked === "last" }),
      run = pass.steady ? steady(backend.run) : backend.run;
    const at = pass.positions(), positions = backend.from(at, [pass.rows]), lasts = pass.lasts();
    const ask = asked === "last" && lasts.length < pass.rows
      ? { pick: this.#picker(lasts), positions: backend.from(lasts.map((row) => at[row]!), [lasts.length]) }
      : null;
    const { rope } = this.#tables!;
    const out = this.#draft.pass(run, {
      ids,
      hidden,
      inPlace: true,
      context: (layer) => ({
        headDim,
        eps,
        tables: rope,
        positions,
        // Only some rows' output is asked for, so in the last layer only they have a query.
        ...(layer === layers - 1 && ask ? { ask } : {}),
        attend: (q, k, v) => pass.attend(run, layer, { q, k, v }).out,
      }),
    });
    pass.advance();
    return out;
  }

  #picker(rows: Int32Array): (x: Tensor) => Tensor {
    const { run } = this.#backend;
    if (rows.length === 1) return (x) => slice(run, x, { axis: 0, start: rows[0]!, end: rows[0]! + 1 });
    const places = this.#backend.from(rows, [rows.length]);
    return (x) => gather(run, x, places);
  }

  /** Makes tables that reach a sequence's end. */
  #reach(capacity: number): void {
    if (this.#tables && this.#tables.positions >= capacity) return;
    const { rope, sizes: { headDim } } = this.#draft;
    const positions = Math.max(capacity, 2 * (this.#tables?.positions ?? 64));
    const made = ropeTables(this.#backend, {
      ...rope,
      headDim,
      positions,
      maxPositions: rope.maxPositions ?? capacity,
    });
    this.#drop();
    this.#tables = {
      positions,
      rope: { cos: this.#backend.detach(made.cos), sin: this.#backend.detach(made.sin) },
    };
  }

  #drop(): void {
    this.#tables?.rope.cos[Symbol.dispose]();
    this.#tables?.rope.sin[Symbol.dispose]();
    this.#tables = null;
  }

  [Symbol.dispose](): void {
    this.#drop();
    this.#caches[Symbol.dispose]();
  }
}
