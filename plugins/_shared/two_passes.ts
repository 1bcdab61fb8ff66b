/** Prompts beside sequences that are being decoded: these are worked so that a row's result depends on no other, those fast. */
import type { ForwardInput, ForwardOutput, SequenceRows } from "../../core/plugin.ts";
import type { Backend, Tensor } from "../../core/tensor.ts";
import { concat, gather, MOST_BRANCH_ROWS } from "../../kernels/ops/mod.ts";

/** Numbers from `start` on. */
function count(start: number, length: number): number[] {
  return Array.from({ length }, (_, i) => start + i);
}

function logitRows({ rows, logits }: SequenceRows, otherwise: "all" | "last" | "none"): number {
  const wanted = logits ?? otherwise;
  return wanted === "all" ? rows : wanted === "last" ? 1 : 0;
}

/** Puts rows that two passes gave, first those of the sequences of `small`, back in the order of all sequences. */
function joined(
  backend: Backend,
  parts: readonly (Tensor | null)[],
  { small, lengths }: { readonly small: readonly boolean[]; readonly lengths: readonly number[] },
): Tensor | null {
  const there = parts.filter((part) => part !== null);
  if (there.length === 0) return null;
  const rows = concat(backend.run, there, 0), next = [0, 0];
  next[1] = lengths.reduce((sum, n, i) => sum + (small[i] ? n : 0), 0);
  const order = lengths.flatMap((length, i) => {
    const side = small[i] ? 0 : 1, start = next[side]!;
    next[side] = start + length;
    return count(start, length);
  });
  return gather(backend.run, rows, backend.from(Int32Array.from(order), [order.length]));
}

/**
 * Works a pass in two where it has both sequences of many rows and of few; `null` where it has not.
 *
 * @param forward works a pass that is of one kind
 */
export function inTwoPasses(
  backend: Backend,
  input: ForwardInput,
  forward: (input: ForwardInput) => ForwardOutput,
): ForwardOutput | null {
  const { sequences, tokens, parents, logits = "all" } = input;
  if (!sequences) return null;
  const small = sequences.map(({ rows }) => rows <= MOST_BRANCH_ROWS);
  if (small.every(Boolean) || !small.some(Boolean)) return null;
  using scope = backend.scope();
  const starts: number[] = [];
  sequences.reduce((start, { rows }) => (starts.push(start), start + rows), 0);
  const found = [true, false].map((side) => {
    const chosen = sequences.flatMap((sequence, i) =>
      small[i] === side ? [{ sequence, start: starts[i]! }] : []
    );
    const rows = chosen.flatMap(({ sequence, start }) => count(start, sequence.rows));
    return forward({
      ...input,
      tokens: tokens instanceof Int32Array
        ? Int32Array.from(rows, (row) => tokens[row]!)
        : gather(backend.run, tokens, backend.from(Int32Array.from(rows), [rows.length])),
      sequences: chosen.map(({ sequence }) => sequence),
      ...(parents ? { parents: rows.map((row) => parents[row]!) } : {}),
    });
  });
  const join = (parts: readonly (Tensor | null)[], lengths: readonly number[]) => {
    const tensor = joined(backend, parts, { small, lengths });
    return tensor && scope.keep(tensor);
  };
  return {
    logits: join(found.map((part) => part.logits), sequences.map((one) => logitRows(one, logits))),
    hidden: (input.capture ?? []).map((_, i) =>
      join(found.map((part) => part.hidden[i]!), sequences.map(({ rows }) => rows))!
    ),
  };
}
