/**
 * One step of several sequences: draft → verify → accept. The verifier checks every proposed token of every sequence in one
 * pass and adds one of its own to each.
 *
 * @module
 */
import { PluginError, type SpeculatorsError } from "../errors.ts";
import type { ImagePatches, SequenceRows, VerifierModel } from "../plugin.ts";
import type { Tensor, TypedArray } from "../tensor.ts";
import { accept, levels } from "./accept.ts";
import type { DecodeRound, LoopOptions } from "./options.ts";
import { type Asked, propose } from "./propose.ts";
import type { Sequence, Verdict } from "./sequence.ts";
import { Captured, type States } from "./states.ts";

/** What a step brought a sequence: a round (`null` when its prompt is not read to the end), or why it cannot go on. */
export type Outcome = { readonly round: DecodeRound | null } | { readonly failure: SpeculatorsError };

/** Rows of some sequences in one pass of the verifier. */
interface Rows {
  readonly tokens: Tensor | Int32Array;
  /** How many are each one's. */
  readonly counts: readonly number[];
  readonly logits: readonly ("all" | "last" | "none")[];
  readonly parents?: readonly number[];
  readonly images?: readonly ImagePatches[];
}

/** Steps of sequences over one verifier and one draft. */
export class Stepper {
  readonly #model: VerifierModel;
  readonly #options: LoopOptions;

  /** @param options what all sequences share */
  constructor(model: VerifierModel, options: LoopOptions) {
    this.#model = model;
    this.#options = options;
  }

  /** Reads the next part of each prompt; those that are read to their end get their first token. */
  async prefill(sequences: readonly Sequence[]): Promise<Outcome[]> {
    const { prefillRows = 512 } = this.#options;
    const images = sequences.flatMap((one) => one.options.images ?? []);
    const parts = sequences.map((one) => {
      const most = one.options.images?.length ? one.promptLength : prefillRows;
      return one.history(one.promptLength).slice(one.read, one.read + most);
    });
    const lasts = sequences.map((one, i) => one.read + parts[i]!.length >= one.promptLength);
    const counts = parts.map(({ length }) => length);
    const pass = this.#pass(sequences, () => ({
      tokens: joined(parts),
      counts,
      logits: lasts.map((last) => last ? "last" : "none"),
      images,
    }));
    const { verdicts } = await this.#read(sequences, pass, []);
    let first = 0;
    for (const [i, one] of sequences.entries()) {
      one.read += counts[i]!;
      one.states = [...one.states.map(again), ...pass.states(one, range(first, counts[i]!))];
      first += counts[i]!;
    }
    pass.release();
    const failures = await this.#tell(sequences);
    return sequences.map((one, i): Outcome => {
      const failure = failures.get(one), verdict = verdicts[i];
      if (failure) return { failure };
      if (!lasts[i] || !verdict) return { round: null };
      const gained = one.push([one.choose(verdict, 0)], [0], verdict);
      return { round: { position: 0, proposed: [], positions: 0, accepted: 0, ...gained } };
    });
  }

  /** One round of each sequence: proposals, the verifier's pass over them, what is kept. */
  async round(sequences: readonly Sequence[]): Promise<Outcome[]> {
    const { backend } = this.#model, { ops, maxProposed = Infinity } = this.#options;
    const drafted = sequences.filter(({ room }) => room > 0),
      share = Math.floor(maxProposed / drafted.length);
    // A draft that may propose nothing is told all the same: it goes on from there when there is less to do.
    const asked = drafted.map((sequence): Asked => ({
      sequence,
      length: sequence.length,
      count: Math.min(sequence.room, share),
    }));
    const answers = await this.#propose(asked);
    const failed = new Map([...answers.failures].map(([i, failure]) => [asked[i]!.sequence, failure]));
    const open = sequences.filter((one) => !failed.has(one));
    const parents = open.map((one) =>
      answers.parents[asked.findIndex(({ sequence }) => sequence === one)] ?? []
    );
    if (open.length === 0) return sequences.map((one) => ({ failure: failed.get(one)! }));
    const pass = this.#pass(open, () => {
      const newest = Int32Array.from(open, (one) => one.history()[one.length - 1]!);
      const counts = parents.map((own) => own.length + 1), proposed = answers.tokens;
      if (!proposed) return { tokens: newest, counts, logits: open.map(() => "all") };
      const all = ops.concat(backend.run, [backend.from(newest, [newest.length]), proposed], 0);
      // The newest tokens lie before all proposals; in the pass each lies before its own.
      let next = open.length;
      const order = parents.flatMap((own, i) => [i, ...own.map(() => next++)]);
      const tokens = open.length === 1
        ? all
        : ops.gather(backend.run, all, backend.from(Int32Array.from(order), [order.length]));
      const tree = parents.some((own) => own.some((parent, i) => parent !== i - 1));
      // In the pass row 0 is the newest token, which follows the last cached row.
      const rows = parents.flatMap((own) => [-1, ...own.map((parent) => parent + 1)]);
      return { tokens, counts, logits: open.map(() => "all"), ...(tree ? { parents: rows } : {}) };
    });
    const { verdicts, others } = await this.#read(open, pass, answers.tokens ? [answers.tokens] : []);
    const tokens = (others[0] ?? new Int32Array(0)) as Int32Array;
    const rounds = new Map<Sequence, Outcome>();
    let start = 0, first = 0;
    for (const [i, one] of open.entries()) {
      const own = parents[i]!, proposed = tokens.subarray(start, start + own.length);
      const found = this.#settle(one, { parents: own, proposed, verdict: verdicts[i]! });
      if (found.path !== undefined) {
        one.states = pass.states(one, [first, ...found.path.map((node) => first + 1 + node)]);
      }
      rounds.set(one, found.outcome);
      start += own.length;
      first += own.length + 1;
    }
    pass.release();
    return sequences.map((one) => rounds.get(one) ?? { failure: failed.get(one)! });
  }

  /** What a sequence keeps of its round. */
  #settle(
    one: Sequence,
    { parents, proposed, verdict }: {
      readonly parents: readonly number[];
      readonly proposed: Int32Array;
      readonly verdict: Verdict;
    },
  ): { readonly outcome: Outcome; readonly path?: readonly number[] } {
    const { vocabSize } = this.#model.info, { draft } = this.#options;
    const wrong = proposed.find((token) => token < 0 || token >= vocabSize);
    if (wrong !== undefined) {
      const message = `expected proposed tokens from 0 to ${vocabSize - 1}, received ${wrong}`;
      return { outcome: { failure: new PluginError(draft!.name, message) } };
    }
    const position = one.length - 1;
    const { path, next } = accept({ tokens: proposed, parents }, (row) => one.choose(verdict, row));
    // The cache holds the newest token and every proposal; what was not accepted is forgotten.
    if (path.every((node, i) => node === i)) one.cache.truncate(position + 1 + path.length);
    else one.cache.keep(position, [0, ...path.map((node) => node + 1)]);
    one.position = position;
    const gained = one.push(
      [...path.map((node) => proposed[node]!), next],
      [0, ...path.map((node) => node + 1)],
      verdict,
    );
    const round = {
      position,
      proposed: Array.from(proposed),
      positions: levels(parents),
      accepted: path.length,
      ...gained,
    };
    return { outcome: { round }, path };
  }

  /** Lets the draft read prompts along with the verifier: a state pairs with the token after it, so the last one waits. */
  async #tell(sequences: readonly Sequence[]): Promise<Map<Sequence, SpeculatorsError>> {
    const asked = sequences.filter(({ session, read, position }) => session && read - 1 > position)
      .map((sequence): Asked => ({ sequence, length: sequence.read, count: 0 }));
    const { tokens, failures } = await this.#propose(asked);
    tokens?.[Symbol.dispose]();
    for (const { sequence: one } of asked) {
      const rest = one.states.at(-1)!;
      one.states = [rest.from.rows(rest.rows.slice(-1))];
      one.position = one.read - 1;
    }
    return new Map([...failures].map(([i, failure]) => [asked[i]!.sequence, failure]));
  }

  async #propose(asked: readonly Asked[]): ReturnType<typeof propose> {
    const { draft } = this.#options;
    if (!draft || asked.length === 0) return { tokens: null, parents: [], failures: new Map() };
    return await propose({ ...this.#options, draft, model: this.#model }, asked);
  }

  /** Appends the work of a pass; what outlives it is what the verifier says, and the states. */
  #pass(sequences: readonly Sequence[], rows: () => Rows): Pass {
    const { backend } = this.#model, { ops, draft } = this.#options;
    const capture = sequences.some(({ session }) => session) ? draft!.layers : [];
    using scope = backend.scope();
    const { tokens, counts, logits, parents, images } = rows();
    const parts = sequences.map(({ cache }, i): SequenceRows => ({
      cache,
      rows: counts[i]!,
      logits: logits[i]!,
    }));
    const out = this.#model.forward({
      tokens,
      ...(parts.length === 1 ? { cache: parts[0]!.cache, logits: logits[0]! } : { sequences: parts }),
      ...(parents ? { parents } : {}),
      ...(images?.length ? { images } : {}),
      capture,
    });
    const given = counts.map((n, i) => logits[i] === "all" ? n : logits[i] === "last" ? 1 : 0);
    if (!out.logits && given.some((n) => n > 0)) {
      throw new PluginError("verifier", "expected logits of a pass, received none");
    }
    let wanted: Tensor | null = null, row = 0;
    const full = given.flatMap((n, i) => {
      const own = range(row, n);
      row += n;
      return sequences[i]!.wantsLogits ? own : [];
    });
    if (out.logits && full.length > 0) {
      wanted = full.length === row
        ? out.logits
        : ops.gather(backend.run, out.logits, backend.from(Int32Array.from(full), [full.length]));
    }
    const greedy = out.logits && scope.keep(ops.argmax(backend.run, out.logits));
    if (wanted) scope.keep(wanted);
    return new Pass({
      given,
      greedy,
      logits: wanted,
      hidden: out.hidden.map((tensor) => scope.keep(tensor)),
    });
  }

  /** Reads what the verifier says, and other tensors, which are freed too. */
  async #read(
    sequences: readonly Sequence[],
    { given, greedy, logits }: Pass,
    others: readonly Tensor[],
  ): Promise<{ verdicts: (Verdict | null)[]; others: TypedArray[] }> {
    const tensors = [greedy, logits].filter((tensor) => tensor !== null);
    try {
      const found = await this.#model.backend.readAll([...tensors, ...others]);
      const choices = greedy ? found[0] as Int32Array : null,
        values = logits ? found[1] as Float32Array : null;
      let row = 0, full = 0;
      const width = logits?.shape[1] ?? 0;
      const verdicts = given.map((n, i): Verdict | null => {
        if (n === 0 || !choices) return null;
        const own = choices.subarray(row, row + n);
        row += n;
        if (!values || !sequences[i]!.wantsLogits) return { greedy: own, logits: null };
        full += n;
        return { greedy: own, logits: values.subarray((full - n) * width, full * width) };
      });
      return { verdicts, others: found.slice(tensors.length) };
    } finally {
      for (const tensor of [...tensors, ...others]) tensor[Symbol.dispose]();
    }
  }
}

/** What a pass gave. */
class Pass {
  /** Rows of logits of each sequence. */
  readonly given: readonly number[];
  /** i32 `[rows of logits]`: the most likely tokens. */
  readonly greedy: Tensor | null;
  /** f32 `[·, V]`: logits of the sequences that want them. */
  readonly logits: Tensor | null;
  readonly #captured: Captured;

  constructor(
    found: Pick<Pass, "given" | "greedy" | "logits"> & { readonly hidden: readonly Tensor[] },
  ) {
    this.given = found.given;
    this.greedy = found.greedy;
    this.logits = found.logits;
    this.#captured = new Captured(found.hidden);
  }

  /** Some of the captured rows, for a sequence that has a draft. */
  states({ session }: Sequence, rows: readonly number[]): readonly States[] {
    return session ? [this.#captured.rows(rows)] : [];
  }

  /** Frees what no sequence has taken. */
  release(): void {
    this.#captured.settle();
  }
}

function again({ from, rows }: States): States {
  return from.rows(rows);
}

function range(start: number, length: number): number[] {
  return Array.from({ length }, (_, i) => start + i);
}

function joined(parts: readonly Int32Array[]): Int32Array {
  if (parts.length === 1) return parts[0]!;
  const all = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
