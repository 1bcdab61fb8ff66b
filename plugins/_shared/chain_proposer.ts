/**
 * How a draft proposes that feeds on its own output: chains of its most likely tokens, or trees of them, on a key-value
 * cache of its own; several sequences at once.
 */
import { PluginError } from "../../core/errors.ts";
import type {
  Proposal,
  Proposals,
  ProposeAllInput,
  ProposeInput,
  Proposer,
  ProposerOptions,
  ProposeRow,
  ProposerSession,
} from "../../core/plugin.ts";
import type { Backend, Run, Tensor } from "../../core/tensor.ts";
import { concat, gather, MOST_BRANCH_ROWS } from "../../kernels/ops/mod.ts";
import type { ChainDraft } from "./chain_draft.ts";
import { ChainSteps } from "./chain_steps.ts";
import type { LayerCache } from "./kv_cache.ts";
import { growTrees } from "./tree_proposer.ts";

/** How a draft proposes, and how its weights are put together. */
export interface ChainProposerParts {
  /** Builds the draft; what its `run` computes lives as long as the proposer. */
  make(run: Run): ChainDraft;
  /** What it was asked to do. */
  readonly options?: ProposerOptions | undefined;
}

/** Makes a draft ready to propose. */
export function chainProposer(backend: Backend, { make, options = {} }: ChainProposerParts): Proposer {
  const made: Tensor[] = [];
  const draft = make((op, inputs, attrs) => {
    const outputs = backend.run(op, inputs, attrs);
    made.push(...outputs);
    return outputs;
  });
  const proposer = new ChainProposer(backend, draft, options.tree);
  return {
    start: (capacity) => new ChainSession(proposer, capacity),
    proposeAll: (input) => proposer.propose(input),
    [Symbol.dispose]() {
      proposer.steps[Symbol.dispose]();
      for (const tensor of made) tensor[Symbol.dispose]();
    },
  };
}

/** One sequence. Row p of the cache pairs the verifier's states at p with the token at p + 1. */
class ChainSession implements ProposerSession {
  readonly cache: LayerCache;
  readonly #proposer: ChainProposer;
  /** Rows of the cache that hold the verifier's states; those behind are of what was proposed. */
  known = 0;

  constructor(proposer: ChainProposer, readonly capacity: number) {
    this.#proposer = proposer;
    this.cache = proposer.steps.open(capacity, proposer.spare);
  }

  propose({ hidden, ...input }: ProposeInput): Proposal {
    const { tokens, parents } = this.#proposer.chains({ sequences: [{ ...input, session: this }], hidden });
    return { tokens, parents: parents[0]! };
  }

  [Symbol.dispose](): void {
    this.cache[Symbol.dispose]();
  }
}

/** A sequence that is to have proposals: its number among all, and how many. */
interface Wanted {
  readonly index: number;
  readonly cache: LayerCache;
  readonly count: number;
}

class ChainProposer {
  readonly steps: ChainSteps;
  readonly #backend: Backend;
  readonly #draft: ChainDraft;
  readonly #tree: ProposerOptions["tree"];

  constructor(backend: Backend, draft: ChainDraft, tree: ProposerOptions["tree"]) {
    this.#backend = backend;
    this.#draft = draft;
    this.steps = new ChainSteps(backend, draft);
    const most = Math.min(draft.vocabulary, MOST_BRANCH_ROWS);
    if (tree && !(tree.topK >= 1 && tree.topK <= most && tree.depth >= 1)) {
      throw new PluginError(
        draft.plugin,
        `expected a tree of 1 to ${most} continuations and at least one level, received ${tree.topK} and ${tree.depth}`,
      );
    }
    if (tree && (tree.depth - 1) * tree.topK > MOST_BRANCH_ROWS) {
      throw new PluginError(
        draft.plugin,
        `expected at most ${MOST_BRANCH_ROWS} nodes that are looked into, received ${tree.depth} levels of ${tree.topK}`,
        { hint: "Ask for fewer levels or fewer continuations" },
      );
    }
    this.#tree = tree;
  }

  /** Rows of a cache that a tree may take. */
  get spare(): number {
    return this.#tree ? this.#tree.topK * (this.#tree.depth - 1) : 0;
  }

  propose(input: ProposeAllInput): Proposals | Promise<Proposals> {
    const tree = this.#tree;
    if (!tree || input.sequences.every(({ count }) => count === 0)) return this.chains(input);
    const backend = this.#backend;
    using scope = backend.scope();
    const { wanted, hidden } = this.#begin(input);
    if (!hidden) return this.#nothing(input, scope.keep(backend.zeros([0], "i32")));
    return growTrees({
      backend,
      draft: this.#draft,
      steps: this.steps,
      tree,
      wanted: wanted.map(({ index, cache, count }) => ({ index, cache, count })),
      sequences: input.sequences.length,
      hidden: backend.detach(hidden),
    });
  }

  /** A chain for each sequence. */
  chains(input: ProposeAllInput): Proposals {
    const backend = this.#backend, { run } = backend;
    using scope = backend.scope();
    const { wanted, hidden: first } = this.#begin(input);
    if (!first) return this.#nothing(input, scope.keep(backend.zeros([0], "i32")));
    let open = wanted, hidden = first;
    const found: Tensor[] = [], places: number[][] = input.sequences.map(() => []);
    for (let step = 0, at = 0; open.length > 0; step++) {
      const tokens = this.#draft.likeliest(run, hidden);
      found.push(tokens);
      for (const { index } of open) places[index]!.push(at++);
      const next = open.filter(({ count }) => count > step + 1);
      if (next.length === 0) break;
      const kept = next.map((one) => open.indexOf(one));
      const pick = (x: Tensor) => next.length === open.length ? x : this.#rows(x, kept);
      hidden = this.steps.pass({
        sequences: next.map(({ cache }) => ({ cache, rows: 1 })),
        ids: pick(tokens),
        hidden: pick(hidden),
      });
      open = next;
    }
    const all = concat(run, found, 0), order = places.flat();
    return {
      tokens: scope.keep(wanted.length === 1 ? all : this.#rows(all, order)),
      parents: places.map((own) => own.map((_, i) => i - 1)),
    };
  }

  #nothing({ sequences }: ProposeAllInput, tokens: Tensor): Proposals {
    return { tokens, parents: sequences.map(() => []) };
  }

  #rows(x: Tensor, rows: readonly number[]): Tensor {
    return gather(this.#backend.run, x, this.#backend.from(Int32Array.from(rows), [rows.length]));
  }

  /** Takes in all new states; gives the sequences to propose for, and their last rows' output, f32 `[n, H]`. */
  #begin({ sequences, hidden }: ProposeAllInput): { wanted: Wanted[]; hidden: Tensor | null } {
    const backend = this.#backend, { run } = backend;
    const rows = sequences.map((one) => this.#checked(one));
    this.#checkStates(rows.reduce((sum, n) => sum + n, 0), hidden);
    const fresh = sequences.flatMap((one, index) =>
      rows[index]! > 0 ? [{ ...one, index, rows: rows[index]! }] : []
    );
    const wanted: (Wanted & { readonly place: number })[] = [];
    for (const [place, { index, session, count, history }] of fresh.entries()) {
      const { cache, capacity } = session as ChainSession;
      // A chain's last token has no row of its own, so no row lies beyond the capacity.
      const most = Math.min(count, capacity - history.length);
      if (most > 0) wanted.push({ index, cache, count: most, place });
    }
    if (fresh.length === 0) return { wanted: [], hidden: null };
    const states = this.#draft.enter(run, hidden.length === 1 ? hidden[0]! : concat(run, hidden, 1));
    const ids = Int32Array.from(
      fresh.flatMap((
        { history, position, rows },
      ) => [...history.subarray(position + 1, position + 1 + rows)]),
    );
    for (const { session, position } of fresh) (session as ChainSession).cache.truncate(position);
    const out = this.steps.pass({
      sequences: fresh.map(({ session, rows }) => ({ cache: (session as ChainSession).cache, rows })),
      ids: backend.from(ids, [ids.length]),
      hidden: states,
    });
    for (const { session, position, rows } of fresh) (session as ChainSession).known = position + rows;
    if (wanted.length === 0) return { wanted, hidden: null };
    return {
      wanted,
      hidden: wanted.length === fresh.length ? out : this.#rows(out, wanted.map(({ place }) => place)),
    };
  }

  /** How many rows are new. */
  #checked({ session, history, position }: ProposeRow): number {
    const { plugin } = this.#draft, { known } = session as ChainSession, rows = history.length - 1 - position;
    if (!Number.isInteger(position) || position < 0 || position > known || rows < 0) {
      throw new PluginError(
        plugin,
        `expected states from a row up to ${known} on, received them from ${position} of ${history.length} tokens`,
      );
    }
    return rows;
  }

  #checkStates(rows: number, hidden: readonly Tensor[]): void {
    const { plugin, sizes: { states, target } } = this.#draft;
    const fits = hidden.length === states &&
      hidden.every(({ shape }) => shape.length === 2 && shape[0] === rows && shape[1] === target);
    if (fits) return;
    const found = hidden.map(({ shape }) => `[${shape.join(", ")}]`).join(", ");
    throw new PluginError(plugin, `expected ${states} states [${rows}, ${target}], received ${found}`);
  }
}
