/** Asking a draft, for several sequences at once: what fails for one stops that one only. */
import { PluginError, SpeculatorsError } from "../errors.ts";
import type { Proposals, ProposeAllInput, VerifierModel } from "../plugin.ts";
import type { Tensor } from "../tensor.ts";
import { AsyncTimeout } from "./timeout.ts";
import type { Draft, LoopOptions } from "./options.ts";
import type { Sequence } from "./sequence.ts";
import { firstRows, joinStates } from "./states.ts";

/** A sequence to ask for. */
export interface Asked {
  /** The sequence; its states begin at its position. */
  readonly sequence: Sequence;
  /** Tokens of it that the draft may know: their last has no states yet. */
  readonly length: number;
  /** Most tokens wanted. */
  readonly count: number;
}

/** What a draft answered. */
export interface Answers {
  /** i32 `[n]`, tokens of all sequences one after the other; `null` when there are none. The caller's. */
  readonly tokens: Tensor | null;
  /** For each sequence the parents of its tokens. */
  readonly parents: readonly (readonly number[])[];
  /** Why the draft did not answer for a sequence, by its index. */
  readonly failures: ReadonlyMap<number, SpeculatorsError>;
}

/** What a loop asks with. */
export interface Asking extends LoopOptions {
  /** The verifier. */
  readonly model: VerifierModel;
  /** The draft. */
  readonly draft: Draft;
}

/**
 * Asks for proposals. Tokens of all sequences lie one after the other in `tokens`, which is the caller's; where a draft fails
 * for all it is asked for each alone, to find out whose fault it is.
 */
export async function propose(
  asking: Asking,
  asked: readonly Asked[],
): Promise<Answers> {
  const { draft } = asking,
    none: Answers = { tokens: null, parents: asked.map(() => []), failures: new Map() };
  if (asked.length === 0) return none;
  if (asked.length === 1 || draft.proposer.proposeAll) {
    try {
      const found = await askAll(asking, asked);
      return { ...found, failures: none.failures };
    } catch (cause) {
      const failure = failureOf(draft.name, cause);
      if (asked.length === 1) return { ...none, failures: new Map([[0, failure]]) };
    }
  }
  const failures = new Map<number, SpeculatorsError>(),
    parts: Tensor[] = [],
    parents: (readonly number[])[] = [];
  for (const [i, one] of asked.entries()) {
    try {
      const found = await askAll(asking, [one]);
      if (found.tokens) parts.push(found.tokens);
      parents.push(found.parents[0]!);
    } catch (cause) {
      failures.set(i, failureOf(draft.name, cause));
      parents.push([]);
    }
  }
  const { ops, model: { backend } } = asking;
  using scope = backend.scope();
  const tokens = parts.length < 2 ? parts[0] ?? null : scope.keep(ops.concat(backend.run, parts, 0));
  if (parts.length > 1) { for (const part of parts) part[Symbol.dispose](); }
  return { tokens, parents, failures };
}

function failureOf(name: string, cause: unknown): SpeculatorsError {
  return cause instanceof SpeculatorsError
    ? cause
    : new PluginError(name, "it failed while proposing tokens", { cause });
}

async function askAll(
  asking: Asking,
  asked: readonly Asked[],
): Promise<{ tokens: Tensor | null; parents: readonly (readonly number[])[] }> {
  const { draft, ops, pluginTimeout, model: { backend } } = asking, { proposer } = draft;
  const begun = performance.now();
  let answer: Proposals | Promise<Proposals>;
  {
    using scope = backend.scope();
    const states = asked.flatMap(({ sequence, length }) =>
      firstRows(sequence.states, length - 1 - sequence.position)
    );
    const hidden = joinStates(states, { backend, ops, layers: draft.layers.length });
    const sequences = asked.map(({ sequence, length, count }) => ({
      session: sequence.session!,
      history: sequence.history(length).slice(),
      position: sequence.position,
      count,
    }));
    answer = proposer.proposeAll ? proposer.proposeAll({ sequences, hidden }) : alone({ sequences, hidden });
    if (!(answer instanceof Promise)) {
      checkProposals(draft.name, answer, asked.map(({ count }) => count));
      scope.keep(answer.tokens);
    }
  }
  if (answer instanceof Promise) {
    answer = await within(answer, { name: draft.name, begun, limit: pluginTimeout });
    checkProposals(draft.name, answer, asked.map(({ count }) => count));
  } else if (pluginTimeout !== undefined && performance.now() - begun > pluginTimeout) {
    answer.tokens[Symbol.dispose]();
    throw tooLate(draft.name, pluginTimeout);
  }
  if (answer.tokens.shape[0] === 0) {
    answer.tokens[Symbol.dispose]();
    return { tokens: null, parents: answer.parents };
  }
  return answer;
}

function tooLate(name: string, limit: number): PluginError {
  return new PluginError(name, `expected proposals within ${limit} ms, received none`, {
    hint: "Give it more time with --plugin-timeout",
  });
}

async function within<T>(
  answer: Promise<T>,
  { name, begun, limit }: {
    readonly name: string;
    readonly begun: number;
    readonly limit: number | undefined;
  },
): Promise<T> {
  if (limit === undefined) return await answer;
  using timeout = new AsyncTimeout(limit - (performance.now() - begun), () => tooLate(name, limit));
  // Whatever comes of it later is not listened to.
  answer.catch(() => {});
  return await Promise.race([answer, timeout.reached]);
}

/** Proposals of a draft that takes one sequence at a time. */
function alone({ sequences, hidden }: ProposeAllInput): Proposals {
  const { session, ...input } = sequences[0]!, found = session.propose({ ...input, hidden });
  return { tokens: found?.tokens, parents: [found?.parents] };
}

function checkProposals(name: string, proposals: Proposals | undefined, counts: readonly number[]): void {
  const { tokens, parents } = proposals ?? {};
  if (
    !Array.isArray(tokens?.shape) || !Array.isArray(parents) || parents.length !== counts.length ||
    !parents.every((own) => Array.isArray(own))
  ) {
    throw new PluginError(
      name,
      "expected it to give tokens and their parents for each sequence, received something else",
    );
  }
  const n = parents.reduce((sum, own) => sum + own.length, 0);
  if (tokens.dtype !== "i32" || tokens.shape.length !== 1 || tokens.shape[0] !== n) {
    throw new PluginError(
      name,
      `expected i32 tokens with a parent each, received ${tokens.dtype}[${tokens.shape}] and ${n} parents`,
    );
  }
  for (const [i, own] of parents.entries()) {
    if (own.length > counts[i]!) {
      throw new PluginError(name, `expected at most ${counts[i]} proposed tokens, received ${own.length}`);
    }
    const bad = own.findIndex((parent, j) => !Number.isInteger(parent) || parent < -1 || parent >= j);
    if (bad >= 0) {
      throw new PluginError(
        name,
        `expected a tree whose token ${bad} follows -1 or a token before it, received parent ${own[bad]}`,
      );
    }
  }
}
