/** The verifier's states that drafts have yet to see: rows of what a pass over several sequences captured. */
import type { CoreOps } from "../runtime.ts";
import type { Backend, Tensor } from "../tensor.ts";

/** What a pass captured, until each of its sequences has moved on. */
export class Captured {
  /** f32 `[rows of the pass, hidden]` for each layer. */
  readonly tensors: readonly Tensor[];
  #users = 0;

  /** Takes the tensors over. */
  constructor(tensors: readonly Tensor[]) {
    this.tensors = tensors;
  }

  /** Some rows, until they are released. */
  rows(rows: readonly number[]): States {
    this.#users++;
    return { from: this, rows };
  }

  /** One user less; the last one frees the tensors. */
  release(): void {
    this.#users--;
    this.settle();
  }

  /** Frees the tensors if nobody uses them. */
  settle(): void {
    if (this.#users > 0) return;
    for (const tensor of this.tensors) tensor[Symbol.dispose]();
  }
}

/** Rows of what was captured. */
export interface States {
  /** What they are rows of. */
  readonly from: Captured;
  /** Which rows. */
  readonly rows: readonly number[];
}

function pick(backend: Backend, ops: CoreOps, x: Tensor, rows: readonly number[]): Tensor {
  const first = rows[0] ?? 0, contiguous = rows.every((row, i) => row === first + i);
  if (contiguous && rows.length === x.shape[0]) return x;
  if (contiguous) return ops.slice(backend.run, x, { axis: 0, start: first, end: first + rows.length });
  return ops.gather(backend.run, x, backend.from(Int32Array.from(rows), [rows.length]));
}

/** The first rows of some states. */
export function firstRows(states: readonly States[], count: number): States[] {
  let left = count;
  return states.flatMap(({ from, rows }) => {
    const own = rows.slice(0, left);
    left -= own.length;
    return own.length > 0 ? [{ from, rows: own }] : [];
  });
}

/** States one after the other, f32 `[rows of all, hidden]` for each of some layers; the open scope's. */
export function joinStates(
  states: readonly States[],
  { backend, ops, layers }: { readonly backend: Backend; readonly ops: CoreOps; readonly layers: number },
): Tensor[] {
  const runs: { from: Captured; rows: number[] }[] = [];
  for (const { from, rows } of states) {
    const last = runs.at(-1);
    if (last && last.from === from) last.rows.push(...rows);
    else runs.push({ from, rows: [...rows] });
  }
  return Array.from({ length: layers }, (_, layer) => {
    const parts = runs.map(({ from, rows }) => pick(backend, ops, from.tensors[layer]!, rows));
    return parts.length === 1 ? parts[0]! : ops.concat(backend.run, parts, 0);
  });
}
