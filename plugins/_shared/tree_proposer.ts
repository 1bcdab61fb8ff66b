/**
 * Trees of a draft's most likely tokens, grown level by level (Eagle-2, Li et al. 2024, arXiv 2406.16858, section 4): a node
 * is worth the product of the draft's probabilities on its way, sharpened; the best nodes of a level are looked into, and of all nodes
 * seen the best are proposed.
 */
import type { Proposals } from "../../core/plugin.ts";
import type { Backend, Tensor } from "../../core/tensor.ts";
import { gather } from "../../kernels/ops/mod.ts";
import type { ChainDraft } from "./chain_draft.ts";
import type { ChainSteps } from "./chain_steps.ts";
import type { LayerCache } from "./kv_cache.ts";

/** What trees are grown from. */
export interface TreeInput {
  /** Where. */
  readonly backend: Backend;
  /** The draft. */
  readonly draft: ChainDraft;
  /** Its passes. */
  readonly steps: ChainSteps;
  /** Continuations of a node, nodes looked into at a level, and levels. */
  readonly tree: { readonly topK: number; readonly depth: number };
  /** Sequences to grow a tree for. */
  readonly wanted: readonly { readonly index: number; readonly cache: LayerCache; readonly count: number }[];
  /** Sequences in all. */
  readonly sequences: number;
  /** f32 `[wanted, H]`: the output at each one's newest token. Freed here. */
  readonly hidden: Tensor;
}

/** A node that was seen. */
interface Node {
  readonly token: number;
  /** Logarithm of its worth. */
  readonly worth: number;
  /** Its parent among the nodes seen; −1 for the newest token. */
  readonly parent: number;
}

/** A sequence's tree. */
interface Growing {
  readonly cache: LayerCache;
  readonly index: number;
  readonly count: number;
  readonly nodes: Node[];
  /** Parents of the rows in the draft's cache, among these. */
  readonly rows: number[];
  /** Nodes that are looked into, best of their level. */
  beam: Looked[];
}

/** A node that is looked into; −1 stands for the newest token. */
interface Looked {
  readonly node: number;
  /** Its row in the draft's cache, among the tree's; that of its parent before it is looked into. */
  readonly row: number;
  /** Its row in the last pass's output; that of its parent before it is looked into. */
  readonly out: number;
}

/**
 * Exponent of the draft's probabilities. A draft's first choice is accepted far more often than its probability says where the
 * verifier takes its most likely token: on the tiny verifier 2 gains 1.18 times the length that 1 does (16 nodes, 5 levels),
 * and 0.96 times at temperature 1.
 */
const SHARPNESS = 2;

/** Whether a draft's cache has room for the rows of another level. */
function hasRoom({ cache }: Growing, rows: number): boolean {
  return cache.length + rows <= cache.capacity;
}

/** Grows a tree for each sequence. */
export async function growTrees(input: TreeInput): Promise<Proposals> {
  const { backend, wanted, tree: { topK, depth } } = input;
  const count = Math.min(topK, input.draft.vocabulary);
  const trees = wanted.map((one, out): Growing => ({
    ...one,
    nodes: [],
    rows: [],
    beam: [{ node: -1, row: -1, out }],
  }));
  let hidden: Tensor | null = input.hidden;
  try {
    for (let level = 0; level < depth; level++) {
      const { tokens, logprobs } = ranked(input, hidden, count);
      const read = await backend.readAll([tokens, logprobs]);
      for (const tensor of [tokens, logprobs]) tensor[Symbol.dispose]();
      extend(trees, { tokens: read[0] as Int32Array, logprobs: read[1] as Float32Array, count });
      if (level + 1 === depth) break;
      const next = trees.filter((one) => hasRoom(one, one.beam.length));
      for (const one of trees) if (!next.includes(one)) one.beam = [];
      if (next.length === 0) break;
      const out = lookInto(input, next, hidden);
      hidden[Symbol.dispose]();
      hidden = out;
    }
  } finally {
    hidden[Symbol.dispose]();
  }
  return proposals(input, trees);
}

function ranked(
  { backend, draft }: TreeInput,
  hidden: Tensor,
  count: number,
): { tokens: Tensor; logprobs: Tensor } {
  using _scope = backend.scope();
  const { tokens, logprobs } = draft.ranked(backend.run, hidden, count);
  return { tokens: backend.detach(tokens), logprobs: backend.detach(logprobs) };
}

/** Logarithms of the shares that continuations have in their parent's worth. */
function sharpened(logprobs: Float32Array): number[] {
  let sum = 0;
  for (const x of logprobs) sum += Math.exp(SHARPNESS * x);
  const shift = Math.log(sum);
  return Array.from(logprobs, (x) => SHARPNESS * x - shift);
}

/** Adds what follows each node of the beams, whose rows lie one after the other, and chooses the next beams. */
function extend(
  trees: readonly Growing[],
  found: { readonly tokens: Int32Array; readonly logprobs: Float32Array; readonly count: number },
): void {
  const { tokens, logprobs, count } = found;
  for (const one of trees) {
    const fresh: number[] = [], from = new Map<number, Looked>();
    for (const looked of one.beam) {
      const { node, out } = looked;
      const worth = node < 0 ? 0 : one.nodes[node]!.worth;
      const shares = sharpened(logprobs.subarray(out * count, (out + 1) * count));
      for (let i = 0; i < count; i++) {
        from.set(one.nodes.length, looked);
        fresh.push(one.nodes.length);
        one.nodes.push({
          token: tokens[out * count + i]!,
          worth: worth + shares[i]!,
          parent: node,
        });
      }
    }
    const best = fresh.sort((a, b) => one.nodes[b]!.worth - one.nodes[a]!.worth || a - b).slice(0, count);
    one.beam = best.sort((a, b) => a - b).map((node) => ({ ...from.get(node)!, node }));
  }
}

/** A pass of the draft over the beams; gives the output of each of their nodes. */
function lookInto({ backend, steps }: TreeInput, trees: readonly Growing[], hidden: Tensor): Tensor {
  using scope = backend.scope();
  const ids: number[] = [], parents: number[] = [], sources: number[] = [];
  const sequences = trees.map((one) => {
    const before = one.rows.slice();
    one.beam = one.beam.map(({ node, row, out }): Looked => {
      ids.push(one.nodes[node]!.token);
      parents.push(row);
      sources.push(out);
      one.rows.push(row);
      return { node, row: one.rows.length - 1, out: ids.length - 1 };
    });
    return { cache: one.cache, rows: one.beam.length, before };
  });
  const out = steps.pass({
    sequences,
    parents,
    ids: backend.from(Int32Array.from(ids), [ids.length]),
    hidden: gather(backend.run, hidden, backend.from(Int32Array.from(sources), [sources.length])),
    asked: "all",
  });
  return backend.detach(scope.keep(out));
}

function proposals({ backend, sequences }: TreeInput, trees: readonly Growing[]): Proposals {
  const tokens: number[] = [], parents: number[][] = Array.from({ length: sequences }, () => []);
  for (const { index, count, nodes } of trees) {
    // A node is worth no more than its parent and comes after it, so a parent is never left behind.
    const best = nodes.map((_, i) => i).sort((a, b) => nodes[b]!.worth - nodes[a]!.worth || a - b).slice(
      0,
      count,
    )
      .sort((a, b) => a - b);
    const place = new Map(best.map((node, i) => [node, i]));
    for (const node of best) {
      tokens.push(nodes[node]!.token);
      parents[index]!.push(place.get(nodes[node]!.parent) ?? -1);
    }
  }
  return { tokens: backend.from(Int32Array.from(tokens), [tokens.length]), parents };
}
