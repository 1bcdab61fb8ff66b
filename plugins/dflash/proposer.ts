/** How a DFlash draft proposes: a whole block behind the newest token, in one pass. */
import { PluginError } from "../../core/errors.ts";
import type { Proposal, ProposeInput, Proposer, ProposerSession } from "../../core/plugin.ts";
import type { Backend, Tensor } from "../../core/tensor.ts";
import {
  argmax,
  attention,
  concat,
  linear,
  type RopeTables,
  slice,
  writeRows,
} from "../../kernels/ops/mod.ts";
import type { DecoderContext } from "../_shared/decoder.ts";
import { layerRope } from "../_shared/layer_config.ts";
import { ropeTables } from "../_shared/rope.ts";
import { verifierIds } from "../_shared/verifier_ids.ts";
import type { DFlashConfig } from "./config.ts";
import {
  blockStates,
  contextKeys,
  contextOf,
  type DFlashWeights,
  dflashWeights,
  finalNorm,
} from "./model.ts";

/** Makes a draft ready to propose. */
export function blockProposer(
  config: DFlashConfig,
  { backend, tensors }: { readonly backend: Backend; readonly tensors: ReadonlyMap<string, Tensor> },
): Proposer {
  const made: Tensor[] = [];
  const w = dflashWeights(
    (op, inputs, attrs) => {
      const outputs = backend.run(op, inputs, attrs);
      made.push(...outputs);
      return outputs;
    },
    config,
    tensors,
  );
  return {
    start: (capacity) => new BlockSession({ config, w, backend }, capacity),
    [Symbol.dispose]() {
      for (const tensor of made) tensor[Symbol.dispose]();
    },
  };
}

/** One sequence. Row p of the keys is the verifier's state that has seen the token at p; a block lies behind those in use. */
class BlockSession implements ProposerSession {
  readonly #config: DFlashConfig;
  readonly #w: DFlashWeights;
  readonly #backend: Backend;
  readonly #capacity: number;
  readonly #keys: readonly { readonly k: Tensor; readonly v: Tensor }[];
  readonly #tables: RopeTables;
  #known = 0;

  constructor(
    { config, w, backend }: {
      readonly config: DFlashConfig;
      readonly w: DFlashWeights;
      readonly backend: Backend;
    },
    capacity: number,
  ) {
    const { kvHeads, headDim, block, layers } = w.sizes, rows = capacity + block;
    const spec = layerRope(config.transformer_layer_config);
    const room = () => backend.zeros([rows, kvHeads * headDim]);
    this.#config = config;
    this.#w = w;
    this.#backend = backend;
    this.#capacity = capacity;
    this.#keys = Array.from({ length: layers }, () => ({ k: room(), v: room() }));
    this.#tables = ropeTables(backend, {
      ...spec,
      headDim,
      positions: rows,
      maxPositions: spec.maxPositions ?? rows,
    });
  }

  propose(input: ProposeInput): Proposal {
    const backend = this.#backend, { block, first } = this.#w.sizes, { history } = input;
    using scope = backend.scope();
    const rows = this.#checked(input);
    if (rows > 0) this.#accept(input, rows);
    const count = Math.min(input.count, block - first, this.#capacity - history.length);
    if (count <= 0) {
      return { tokens: scope.keep(backend.zeros([0], "i32")), parents: [] };
    }
    return {
      tokens: scope.keep(this.#block(history.at(-1)!, count)),
      parents: Array.from({ length: count }, (_, i) => i - 1),
    };
  }

  /** Takes in the new states. */
  #accept({ position, hidden }: ProposeInput, rows: number): void {
    const backend = this.#backend, { run } = backend, w = this.#w;
    const context = contextOf(run, w, hidden.length === 1 ? hidden[0]! : concat(run, hidden, 1));
    const positions = backend.from(Int32Array.from({ length: rows }, (_, i) => position + i), [rows]);
    for (const [layer, { k, v }] of this.#keys.entries()) {
      const fresh = contextKeys(run, { w, layer, context }, { tables: this.#tables, positions });
      writeRows(run, k, fresh.k, position);
      writeRows(run, v, fresh.v, position);
    }
    this.#known = position + rows;
  }

  /** The tokens of a block: i32 `[count]`, the verifier's ids. */
  #block(newest: number, count: number): Tensor {
    const backend = this.#backend, { run } = backend, w = this.#w, at = this.#known;
    const { block, first, heads, kvHeads, headDim, eps, sight } = w.sizes;
    const ids = new Int32Array(block).fill(this.#config.mask_token_id);
    ids[0] = newest;
    const positions = backend.from(Int32Array.from({ length: block }, (_, i) => at + i), [block]);
    const hidden = blockStates(run, { w, ids: backend.from(ids, [block]) }, {
      inPlace: true,
      context: (layer): DecoderContext => ({
        headDim,
        eps,
        tables: this.#tables,
        positions,
        attend: (q, k, v) => {
          const keys = this.#keys[layer]!,
            { window, causal } = sight[layer]!,
            ranges = new Int32Array(2 * block);
          const start = window === null ? 0 : Math.max(0, at - window);
          for (let i = 0; i < block; i++) ranges.set([start, at + (causal ? i + 1 : block)], 2 * i);
          return attention(run, {
            q,
            k: writeRows(run, keys.k, k, at),
            v: writeRows(run, keys.v, v, at),
            ranges: backend.from(ranges, [block, 2]),
          }, { heads, kvHeads, headDim, scale: headDim ** -0.5 });
        },
      }),
    });
    const asked = slice(run, hidden, { axis: 0, start: first, end: first + count });
    return verifierIds(run, argmax(run, linear(run, finalNorm(run, w, asked), w.head)), w.d2t);
  }

  /** How many rows are new. */
  #checked({ history, position, hidden }: ProposeInput): number {
    const { states, target } = this.#w.sizes, rows = history.length - 1 - position, known = this.#known;
    if (!Number.isInteger(position) || position < 0 || position > known || rows < 0) {
      throw new PluginError(
        "dflash",
        `expected states from a row up to ${known} on, received them from ${position} of ${history.length} tokens`,
      );
    }
    const fits = hidden.length === states &&
      hidden.every(({ shape }) => shape.length === 2 && shape[0] === rows && shape[1] === target);
    if (!fits) {
      const found = hidden.map(({ shape }) => `[${shape.join(", ")}]`).join(", ");
      throw new PluginError("dflash", `expected ${states} states [${rows}, ${target}], received ${found}`);
    }
    this.#known = position;
    return rows;
  }

  [Symbol.dispose](): void {
    for (const { k, v } of this.#keys) {
      k[Symbol.dispose]();
      v[Symbol.dispose]();
    }
    this.#tables.cos[Symbol.dispose]();
    this.#tables.sin[Symbol.dispose]();
  }
}
