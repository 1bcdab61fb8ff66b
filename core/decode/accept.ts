/**
 * Which proposed tokens are taken. At each row the verifier chooses its next token, as it would alone: the most likely one,
 * or one it draws. If a proposed token is that one, its row is where the verifier chooses next.
 *
 * For proposals that are certain (the draft's most likely tokens, not samples of it) this is speculative sampling: a token is
 * accepted with its probability p(x) under the verifier, and otherwise replaced by one drawn from p without it (Leviathan et
 * al. 2023, arXiv 2211.17192, with all of q on the token; for trees the recursion of SpecInfer, Miao et al. 2023, arXiv
 * 2305.09781). And it says more: with the same numbers to draw by, the text is token for token that of plain decoding.
 *
 * @module
 */

/** Proposed tokens of a sequence. */
export interface Proposed {
  /** Ids. */
  readonly tokens: ArrayLike<number>;
  /** For each the index of the one before it; −1 follows the newest token. */
  readonly parents: readonly number[];
}

/** What is taken. */
export interface Accepted {
  /** Proposed tokens taken, by index, first to last. */
  readonly path: readonly number[];
  /** The verifier's token after them. */
  readonly next: number;
}

/**
 * Walks down a tree of proposals.
 *
 * @param choose the verifier's next token after a row: row 0 is the newest token, row i + 1 proposed token i. It is called once
 * for each token gained, in their order.
 */
export function accept({ tokens, parents }: Proposed, choose: (row: number) => number): Accepted {
  const path: number[] = [];
  for (let at = -1;;) {
    const next = choose(at + 1), last = at;
    const found = parents.findIndex((parent, i) => i > last && parent === last && tokens[i] === next);
    if (found < 0) return { path, next };
    path.push(found);
    at = found;
  }
}

/** Positions that a tree proposes for: its levels. */
export function levels(parents: readonly number[]): number {
  const depths: number[] = [];
  let most = 0;
  for (const parent of parents) {
    const depth = parent < 0 ? 1 : depths[parent]! + 1;
    depths.push(depth);
    most = Math.max(most, depth);
  }
  return most;
}
