/** How a draft proposes that feeds on its own output: a chain of its most likely tokens, on a key-value cache of its own. */
import { PluginError } from "../../core/errors.ts";
import type { Proposal, ProposeInput, Proposer, ProposerSession } from "../../core/plugin.ts";
import type { Backend, Run, Tensor } from "../../core/tensor.ts";
import { attention, concat, type RopeTables, slice } from "../../kernels/ops/mod.ts";
import type { ChainDraft } from "./chain_draft.ts";
import { LayerCache } from "./kv_cache.ts";
import { ropeTables } from "./rope.ts";

/**
 * Makes a draft ready to propose.
 *
 * @param make builds the draft; what its `run` computes lives as long as the proposer
 */
export function chainProposer(backend: Backend, make: (run: Run) => ChainDraft): Proposer {
  const made: Tensor[] = [];
  const draft = make((op, inputs, attrs) => {
    const outputs = backend.run(op, inputs, attrs);
    made.push(...outputs);
    return outputs;
  });
  return {
    start: (capacity) => new ChainSession({ draft, backend }, capacity),
    [Symbol.dispose]() {
      for (const tensor of made) tensor[Symbol.dispose]();
    },
  };
}

/** One sequence. Row p of the cache pairs the verifier's states at p with the token at p + 1. */
class ChainSession implements ProposerSession {
  readonly #draft: ChainDraft;
  readonly #backend: Backend;
  readonly #cache: LayerCache;
  readonly #tables: RopeTables;
  /** Rows of the cache that hold the verifier's states; those behind are of a chain that was proposed. */
  #known = 0;

  constructor(
    { draft, backend }: { readonly draft: ChainDraft; readonly backend: Backend },
    capacity: number,
  ) {
    const { layers, kvHeads, headDim } = draft.sizes;
    this.#draft = draft;
    this.#backend = backend;
    this.#cache = new LayerCache(backend, { layers, capacity, width: kvHeads * headDim });
    this.#tables = ropeTables(backend, {
      ...draft.rope,
      headDim,
      positions: Math.max(capacity, 1),
      maxPositions: draft.rope.maxPositions ?? capacity,
    });
  }

  propose(input: ProposeInput): Proposal {
    const backend = this.#backend, { run } = backend;
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
      tokens.push(this.#draft.likeliest(run, hidden));
      if (step + 1 < count) hidden = this.#pass(tokens[step]!, hidden);
    }
    return {
      tokens: scope.keep(concat(run, tokens, 0)),
      parents: tokens.map((_, i) => i - 1),
    };
  }

  /** Takes in the new states; gives the output of the last row, f32 `[1, H]`. */
  #accept({ history, position, hidden }: ProposeInput, rows: number): Tensor {
    const backend = this.#backend, { run } = backend;
    this.#cache.truncate(position);
    const tokens = history.slice(position + 1, position + 1 + rows);
    const states = this.#draft.enter(run, hidden.length === 1 ? hidden[0]! : concat(run, hidden, 1));
    const out = this.#pass(backend.from(tokens, [rows]), states);
    this.#known = position + rows;
    return out;
  }

  /** Rows behind those of the cache; gives the output of the last one, f32 `[1, H]`. */
  #pass(ids: Tensor, hidden: Tensor): Tensor {
    const backend = this.#backend, { run } = backend;
    const { layers, heads, kvHeads, headDim, eps } = this.#draft.sizes;
    const rows = ids.shape[0]!, last = layers - 1;
    const { positions: at, ranges: seen } = this.#cache.next(rows);
    const positions = backend.from(at, [rows]);
    const end = (x: Tensor) => slice(run, x, { axis: 0, start: rows - 1, end: rows });
    // Only the last row's output is asked for, so in the last layer only it has a query.
    const ask = rows === 1 ? null : { pick: end, positions: backend.from(at.subarray(rows - 1), [1]) };
    const lastRange = backend.from(seen.subarray(2 * rows - 2), [1, 2]);
    const ranges = rows === 1 || last === 0 ? lastRange : backend.from(seen, [rows, 2]);
    const out = this.#draft.pass(run, {
      ids,
      hidden,
      inPlace: true,
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
    const { plugin, sizes: { states, target } } = this.#draft, rows = history.length - 1 - position;
    if (!Number.isInteger(position) || position < 0 || position > this.#known || rows < 0) {
      throw new PluginError(
        plugin,
        `expected states from a row up to ${this.#known} on, received them from ${position} of ${history.length} tokens`,
      );
    }
    const fits = hidden.length === states &&
      hidden.every(({ shape }) => shape.length === 2 && shape[0] === rows && shape[1] === target);
    if (!fits) {
      const found = hidden.map(({ shape }) => `[${shape.join(", ")}]`).join(", ");
      throw new PluginError(plugin, `expected ${states} states [${rows}, ${target}], received ${found}`);
    }
    return rows;
  }

  [Symbol.dispose](): void {
    this.#cache[Symbol.dispose]();
    this.#tables.cos[Symbol.dispose]();
    this.#tables.sin[Symbol.dispose]();
  }
}
