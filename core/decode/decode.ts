/**
 * The decoding loop: draft → verify → accept. The verifier checks every proposed token in one pass and adds one of its
 * own, so that the text is the one it would have written alone: token for token when greedy, in distribution when
 * sampling (Leviathan et al. 2023, arXiv 2211.17192). Without a draft it is plain decoding, by the same code.
 *
 * @module
 */
import { ConfigError, PluginError, SpeculatorsError } from "../errors.ts";
import type { KvCache, Proposal, Proposer, ProposerSession, VerifierModel } from "../plugin.ts";
import type { CoreOps } from "../runtime.ts";
import type { Tensor } from "../tensor.ts";
import { turn } from "../turn.ts";
import { acceptOrDraw, draw, probabilities, type Sampling, type Uniform } from "./sampling.ts";

/** A draft at hand. */
export interface Draft {
  /** Its plugin's name, for messages. */
  readonly name: string;
  /** What proposes. */
  readonly proposer: Proposer;
  /** The hidden states it reads, serving convention. */
  readonly layers: readonly number[];
}

/** How a text is continued. */
export interface DecodeOptions {
  /** The ops that the loop itself uses. */
  readonly ops: CoreOps;
  /** Most tokens written. */
  readonly maxTokens: number;
  /** Proposes tokens; plain decoding without it. */
  readonly draft?: Draft;
  /** Tokens proposed in a round; 3 when absent. */
  readonly numSpecTokens?: number;
  /** Greedy when absent or of temperature 0. */
  readonly sampling?: Sampling;
  /** Numbers for sampling; needed when it is not greedy. */
  readonly uniform?: Uniform;
  /** Tokens that end the text (and are part of it); the verifier's when absent. */
  readonly eosTokenIds?: readonly number[];
  /** Prompt tokens taken in one pass; 512 when absent. */
  readonly prefillRows?: number;
  /** Stops the loop between two passes. */
  readonly signal?: AbortSignal;
}

/** What one pass of the verifier brought. */
export interface DecodeRound {
  /** Tokens in the sequence that the verifier had seen before: the position of the newest one. */
  readonly position: number;
  /** What the draft proposed; empty in the first round, which is the prompt's, and in plain decoding. */
  readonly proposed: readonly number[];
  /** How many of them the verifier took. */
  readonly accepted: number;
  /** The tokens gained, cut at the end of the text. */
  readonly tokens: readonly number[];
}

/** Rows of logits: their argmax, or all of them when sampling. */
type Verdict = { readonly greedy: Int32Array } | {
  readonly logits: Float32Array;
  readonly vocabulary: number;
};

/** A sequence being written. */
class Decoder implements Disposable {
  readonly #model: VerifierModel;
  readonly #options: DecodeOptions;
  readonly #greedy: boolean;
  readonly #layers: readonly number[];
  readonly #cache: KvCache;
  readonly #session: ProposerSession | null;
  readonly #history: Int32Array;
  #length: number;
  /** States the draft has not seen: rows `#position …` of the sequence. */
  #hidden: Tensor[] = [];
  #position = 0;

  constructor(model: VerifierModel, prompt: Int32Array, options: DecodeOptions) {
    const { sampling, maxTokens, draft, numSpecTokens = 3 } = options;
    this.#model = model;
    this.#options = options;
    this.#greedy = !sampling || sampling.temperature === 0;
    if (!this.#greedy && !options.uniform) {
      throw new ConfigError("sampling", "expected a source of numbers, received none");
    }
    if (prompt.length === 0) {
      throw new ConfigError("prompt", "expected at least one token, received none", {
        hint: "Give a prompt that is not empty",
      });
    }
    const limit = model.info.maxPositions;
    if (prompt.length >= limit) {
      throw new ConfigError(
        "prompt",
        `expected less than the model's ${limit} positions, received ${prompt.length} tokens`,
        {
          hint: "Shorten the prompt",
        },
      );
    }
    const capacity = Math.min(limit, prompt.length + maxTokens + numSpecTokens);
    this.#layers = draft?.layers ?? [];
    this.#cache = model.cache(capacity);
    try {
      this.#session = draft ? draft.proposer.start(capacity) : null;
    } catch (cause) {
      this.#cache[Symbol.dispose]();
      if (cause instanceof SpeculatorsError) throw cause;
      throw new PluginError(draft!.name, "it failed while beginning a text", { cause });
    }
    this.#history = new Int32Array(capacity + 1);
    this.#history.set(prompt);
    this.#length = prompt.length;
  }

  /** Tokens so far. */
  get history(): Int32Array {
    return this.#history.subarray(0, this.#length);
  }

  /** Reads the prompt and writes the first token. */
  async prefill(): Promise<DecodeRound> {
    const { backend } = this.#model, { ops, prefillRows = 512 } = this.#options, prompt = this.history;
    let verdict: Verdict | null = null;
    for (let start = 0; start < prompt.length; start += prefillRows) {
      const tokens = prompt.slice(start, start + prefillRows), last = start + prefillRows >= prompt.length;
      const known = start + tokens.length;
      const found = this.#pass(() => {
        const out = this.#model.forward({
          tokens,
          cache: this.#cache,
          capture: this.#layers,
          logits: last ? "last" : "none",
        });
        const hidden = out.hidden.map((part, i) =>
          this.#hidden[i] ? ops.concat(backend.run, [this.#hidden[i], part], 0) : part
        );
        // The draft reads the prompt along with the verifier. A state pairs with the token after it, so the last one waits.
        const rows = known - 1 - this.#position;
        if (rows > 0 && hidden.length > 0) this.#ask(this.#history.slice(0, known), hidden, 0);
        const rest = hidden.map((part) =>
          ops.slice(backend.run, part, { axis: 0, start: rows, end: rows + 1 })
        );
        return { ...out, hidden: rest, proposal: null };
      });
      this.#position = known - 1;
      verdict = await this.#read(found.verdict, []).then((read) => read.verdict);
    }
    const token = this.#choose(verdict!, 0);
    this.#push([token]);
    return { position: 0, proposed: [], accepted: 0, tokens: [token] };
  }

  /** One round: proposals, the verifier's pass over them, what is kept. */
  async round(): Promise<DecodeRound> {
    const { backend } = this.#model, { ops, numSpecTokens = 3 } = this.#options, position = this.#length - 1;
    const room = Math.min(numSpecTokens, this.#cache.capacity - this.#length);
    const found = this.#pass(() => {
      const proposal = room > 0 ? this.#propose(room) : null;
      const newest = backend.from(this.#history.slice(position, position + 1), [1]);
      const tokens = proposal ? ops.concat(backend.run, [newest, proposal.tokens], 0) : newest;
      return { ...this.#model.forward({ tokens, cache: this.#cache, capture: this.#layers }), proposal };
    });
    const proposal = found.proposal;
    const { verdict, read } = await this.#read(found.verdict, proposal ? [proposal.tokens] : []);
    const proposed = read[0] ? Array.from(read[0]) : [];
    const { accepted, next } = this.#accept(proposed, verdict);
    const eos = this.#options.eosTokenIds ?? this.#model.info.eosTokenIds;
    const gained = [...proposed.slice(0, accepted), next];
    const end = gained.findIndex((token) => eos.includes(token));
    const tokens = end < 0 ? gained : gained.slice(0, end + 1);
    // The cache holds the newest token and every proposal; what was not accepted is forgotten, and so are its states.
    this.#cache.truncate(position + 1 + accepted);
    this.#position = position;
    this.#push(tokens);
    return { position, proposed, accepted, tokens };
  }

  /** Appends the work of a pass inside a scope; what outlives it is the verdict, the states and the proposal. */
  #pass(
    work: () => { logits: Tensor | null; hidden: readonly Tensor[]; proposal: Proposal | null },
  ): { verdict: Tensor | null; proposal: Proposal | null } {
    const { backend } = this.#model;
    using scope = backend.scope();
    const { logits, hidden, proposal } = work();
    const verdict = logits &&
      scope.keep(this.#greedy ? this.#options.ops.argmax(backend.run, logits) : logits);
    const states = hidden.map((tensor) => scope.keep(tensor));
    for (const old of this.#hidden) old[Symbol.dispose]();
    this.#hidden = states;
    if (proposal) scope.keep(proposal.tokens);
    return { verdict, proposal };
  }

  async #read(
    verdict: Tensor | null,
    others: readonly Tensor[],
  ): Promise<{ verdict: Verdict | null; read: Int32Array[] }> {
    if (!verdict) return { verdict: null, read: [] };
    try {
      const [first, ...read] = await this.#model.backend.readAll([verdict, ...others]);
      const found: Verdict = this.#greedy
        ? { greedy: first as Int32Array }
        : { logits: first as Float32Array, vocabulary: verdict.shape[1]! };
      return { verdict: found, read: read as Int32Array[] };
    } finally {
      for (const tensor of [verdict, ...others]) tensor[Symbol.dispose]();
    }
  }

  #propose(count: number): Proposal | null {
    const proposal = this.#ask(this.history.slice(), this.#hidden, count);
    return proposal?.tokens.shape[0] ? proposal : null;
  }

  /** Hands states to the draft, those from `#position` on whose next token is in `history`. */
  #ask(history: Int32Array, states: readonly Tensor[], count: number): Proposal | null {
    const { backend } = this.#model, { ops, draft } = this.#options, position = this.#position;
    if (!this.#session || !draft) return null;
    const rows = history.length - 1 - position;
    const hidden = states.map((tensor) =>
      tensor.shape[0] === rows ? tensor : ops.slice(backend.run, tensor, { axis: 0, start: 0, end: rows })
    );
    let proposal: Proposal;
    try {
      proposal = this.#session.propose({ history, position, hidden, count });
    } catch (cause) {
      if (cause instanceof SpeculatorsError) throw cause;
      throw new PluginError(draft.name, "it failed while proposing tokens", { cause });
    }
    checkProposal(draft.name, proposal, count);
    return proposal;
  }

  #accept(proposed: readonly number[], verdict: Verdict | null): { accepted: number; next: number } {
    if (!verdict) throw new PluginError("verifier", "expected logits of a pass, received none");
    if ("greedy" in verdict) {
      let accepted = 0;
      while (accepted < proposed.length && proposed[accepted] === verdict.greedy[accepted]) accepted++;
      return { accepted, next: verdict.greedy[accepted]! };
    }
    for (const [row, token] of proposed.entries()) {
      const found = acceptOrDraw(this.#probabilities(verdict, row), token, this.#options.uniform!);
      if (!found.accepted) return { accepted: row, next: found.token };
    }
    return { accepted: proposed.length, next: this.#choose(verdict, proposed.length) };
  }

  #choose(verdict: Verdict, row: number): number {
    if ("greedy" in verdict) return verdict.greedy[row]!;
    return draw(this.#probabilities(verdict, row), this.#options.uniform!);
  }

  #probabilities(verdict: { logits: Float32Array; vocabulary: number }, row: number): Float64Array {
    const { logits, vocabulary } = verdict;
    return probabilities(logits.subarray(row * vocabulary, (row + 1) * vocabulary), this.#options.sampling!);
  }

  #push(tokens: readonly number[]): void {
    this.#history.set(tokens, this.#length);
    this.#length += tokens.length;
  }

  [Symbol.dispose](): void {
    for (const tensor of this.#hidden) tensor[Symbol.dispose]();
    this.#session?.[Symbol.dispose]();
    this.#cache[Symbol.dispose]();
  }
}

function checkProposal(name: string, proposal: Proposal | undefined, count: number): void {
  if (!Array.isArray(proposal?.tokens?.shape) || !Array.isArray(proposal.parents)) {
    throw new PluginError(
      name,
      "expected propose() to give tokens and their parents, received something else",
    );
  }
  const { tokens, parents } = proposal, n = tokens.shape[0] ?? 0;
  if (tokens.dtype !== "i32" || tokens.shape.length !== 1 || parents.length !== n) {
    throw new PluginError(
      name,
      `expected i32 tokens with a parent each, received ${tokens.dtype}[${tokens.shape}] and ${parents.length} parents`,
    );
  }
  if (n > count) throw new PluginError(name, `expected at most ${count} proposed tokens, received ${n}`);
  if (parents.some((parent, i) => parent !== i - 1)) {
    throw new PluginError(
      name,
      `expected a chain (parents -1, 0, 1, …), received parents ${parents.join(", ")}`,
    );
  }
}

/**
 * Continues a prompt. The first round is the prompt's own pass; each further one is a pass over the newest token and
 * the proposals.
 *
 * @param prompt i32 `[T]`, at least one token
 * @throws {ConfigError} when the prompt is empty or too long
 * @throws {PluginError} when the draft fails or proposes what is no chain
 * @throws {AbortedError} when the signal is given
 */
export async function* decode(
  model: VerifierModel,
  prompt: Int32Array,
  options: DecodeOptions,
): AsyncGenerator<DecodeRound, void, void> {
  const eos = options.eosTokenIds ?? model.info.eosTokenIds;
  if (options.maxTokens <= 0) return;
  using decoder = new Decoder(model, prompt, options);
  // A text may fill the model's positions, not go past them: so it ends at the same token with and without a draft.
  let left = Math.min(options.maxTokens, model.info.maxPositions - prompt.length);
  for (let first = true; left > 0; first = false) {
    await turn(options.signal);
    const round = first ? await decoder.prefill() : await decoder.round();
    const tokens = round.tokens.slice(0, left);
    left -= tokens.length;
    yield { ...round, tokens };
    if (eos.includes(tokens.at(-1)!)) return;
  }
}
