/** How an Eagle-3 draft proposes: a chain of its most likely tokens, on a key-value cache of its own. */
import { PluginError } from "../../core/errors.ts";
import type { Proposal, ProposeInput, Proposer, ProposerSession } from "../../core/plugin.ts";
import type { Backend, Run, Tensor } from "../../core/tensor.ts";
import { argmax, attention, concat, linear, type RopeTables, slice } from "../../kernels/ops/mod.ts";
import { LayerCache } from "../_shared/kv_cache.ts";
import { cachedRanges } from "../_shared/ranges.ts";
import { ropeTables } from "../_shared/rope.ts";
import { type Eagle3Config, eagle3Rope, type Eagle3Sizes, eagle3Sizes } from "./config.ts";
import { eagle3Layers, type Eagle3Weights, eagle3Weights, finalNorm, fuseStates } from "./model.ts";
import { verifierIds } from "./verifier_ids.ts";

/** A draft with its weights on a backend. */
export interface ProposingModel {
  /** Where to compute. */
  readonly backend: Backend;
  /** Tensors by name; they stay the caller's. */
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/**
 * Makes the draft ready to propose.
 *
 * @throws {PluginError} when a tensor is missing
 */
export function eagle3Proposer(config: Eagle3Config, { backend, tensors }: ProposingModel): Proposer {
  const widened: Tensor[] = [];
  const run: Run = (op, inputs, attrs) => {
    const made = backend.run(op, inputs, attrs);
    widened.push(...made);
    return made;
  };
  const weights = eagle3Weights(run, config, tensors);
  return {
    start: (capacity) => new Eagle3Session({ config, weights, backend }, capacity),
    [Symbol.dispose]() {
      for (const tensor of widened) tensor[Symbol.dispose]();
    },
  };
}

/** What a session draws on. */
interface Draft {
  readonly config: Eagle3Config;
  readonly weights: Eagle3Weights;
  readonly backend: Backend;
}

/** One sequence. Row p of the cache pairs the verifier's states at p with the token at p + 1. */
class Eagle3Session implements ProposerSession {
  readonly #draft: Draft;
  readonly #sizes: Eagle3Sizes;
  readonly #cache: LayerCache;
  readonly #tables: RopeTables;
  /** Rows of the cache that hold the verifier's states; those behind are of a chain that was proposed. */
  #known = 0;

  constructor(draft: Draft, capacity: number) {
    const sizes = eagle3Sizes(draft.config), { layers, kvHeads, headDim } = sizes;
    const layer = draft.config.transformer_layer_config;
    this.#draft = draft;
    this.#sizes = sizes;
    this.#cache = new LayerCache(draft.backend, { layers, capacity, width: kvHeads * headDim });
    this.#tables = ropeTables(draft.backend, {
      ...eagle3Rope(layer),
      headDim,
      positions: Math.max(capacity, 1),
      maxPositions: layer.max_position_embeddings ?? capacity,
    });
  }

  propose(input: ProposeInput): Proposal {
    const { backend, weights } = this.#draft, { run } = backend;
    using scope = backend.scope();
    // A chain's last token has no row of its own, so no row lies beyond the capacity.
    const count = Math.min(input.count, this.#cache.capacity - input.history.length);
    const rows = this.#checked(input);
    if (rows === 0 || count <= 0) {
      if (rows > 0) this.#accept(input, rows);
      return { tokens: scope.keep(backend.zeros([0], "i32")), parents: [] };
    }
    let hidden = this.#accept(input, rows);
    const tokens: Tensor[] = [];
    for (let step = 0; step < count; step++) {
      const logits = linear(run, finalNorm(run, weights, hidden), weights.head);
      tokens.push(verifierIds(run, argmax(run, logits), weights.d2t));
      if (step + 1 < count) hidden = this.#pass(tokens[step]!, hidden);
    }
    return {
      tokens: scope.keep(concat(run, tokens, 0)),
      parents: tokens.map((_, i) => i - 1),
    };
  }

  /** Takes in the new states; gives the output of the last row, f32 `[1, H]`. */
  #accept({ history, position, hidden }: ProposeInput, rows: number): Tensor {
    const { backend, weights } = this.#draft, { run } = backend;
    this.#cache.truncate(position);
    const tokens = history.slice(position + 1, position + 1 + rows);
    const states = fuseStates(run, weights, concat(run, hidden, 1));
    const out = this.#pass(backend.from(tokens, [rows]), states);
    this.#known = position + rows;
    return out;
  }

  /** Rows behind those of the cache; gives the output of the last one, f32 `[1, H]`. */
  #pass(ids: Tensor, hidden: Tensor): Tensor {
    const { backend, weights } = this.#draft, { run } = backend;
    const { heads, kvHeads, headDim, eps } = this.#sizes;
    const rows = ids.shape[0]!, last = weights.layers.length - 1;
    const packing = cachedRanges(this.#cache.length, rows);
    const positions = backend.from(packing.positions, [rows]),
      ranges = backend.from(packing.ranges, [rows, 2]);
    const end = (x: Tensor) => slice(run, x, { axis: 0, start: rows - 1, end: rows });
    // Only the last row's output is asked for, so in the last layer only it has a query.
    const ask = rows === 1 ? null : { pick: end, positions: backend.from(packing.positions.slice(-1), [1]) };
    const lastRange = rows === 1 ? ranges : backend.from(packing.ranges.slice(-2), [1, 2]);
    const out = eagle3Layers(run, weights, {
      ids,
      hidden,
      context: (layer) => ({
        headDim,
        eps,
        tables: this.#tables,
        positions,
        ...(layer === last && ask ? { ask } : {}),
        attend: (q, k, v) =>
          attention(run, {
            q,
            ...this.#cache.append(layer, k, v),
            ranges: layer === last ? lastRange : ranges,
          }, { heads, kvHeads, headDim, scale: headDim ** -0.5 }),
      }),
    });
    this.#cache.advance(rows);
    return out;
  }

  /** How many rows are new. */
  #checked({ history, position, hidden }: ProposeInput): number {
    const { states, target } = this.#sizes, rows = history.length - 1 - position;
    if (!Number.isInteger(position) || position < 0 || position > this.#known || rows < 0) {
      throw new PluginError(
        "eagle3",
        `expected states from a row up to ${this.#known} on, received them from ${position} of ${history.length} tokens`,
      );
    }
    const fits = hidden.length === states &&
      hidden.every(({ shape }) => shape.length === 2 && shape[0] === rows && shape[1] === target);
    if (!fits) {
      const found = hidden.map(({ shape }) => `[${shape.join(", ")}]`).join(", ");
      throw new PluginError("eagle3", `expected ${states} states [${rows}, ${target}], received ${found}`);
    }
    return rows;
  }

  [Symbol.dispose](): void {
    this.#cache[Symbol.dispose]();
    this.#tables.cos[Symbol.dispose]();
    this.#tables.sin[Symbol.dispose]();
  }
}
