/** Answers from the verifier on this machine, sooner with a speculator. */
import { PythonRandom } from "../data/random.ts";
import { Acceptance, type AcceptanceRates } from "../decode/acceptance.ts";
import { decode } from "../decode/decode.ts";
import { ConfigError } from "../errors.ts";
import type { VerifierModel } from "../plugin.ts";
import type { Runtime } from "../runtime.ts";
import { type OpenSpeculator, openSpeculator } from "../speculator.ts";
import { loadTextModel, type Message, type TextModel } from "../text/mod.ts";
import { openVerifier } from "../verifier.ts";
import type { Answer, AnswerSampling, Author } from "./_regenerate_author.ts";

/** Which verifier, and how it writes. */
export interface LocalOptions {
  /** Folder or hub name of the verifier. */
  readonly verifierNameOrPath: string;
  /** Speculator for it. */
  readonly speculator?: string;
  /** Tokens proposed a round; what the speculator's config says when absent. */
  readonly numSpecTokens?: number;
  /** Most tokens of an answer. */
  readonly maxTokens: number;
  /** How answers are drawn; greedy when no temperature is given. */
  readonly sampling: AnswerSampling;
}

/** Loads the verifier, and the speculator. */
export async function openLocalAuthor(options: LocalOptions, runtime: Runtime): Promise<Author> {
  await using opened = new AsyncDisposableStack();
  using verifier = await openVerifier(options.verifierNameOrPath, runtime);
  const text = await loadTextModel(verifier.folder);
  const backend = opened.use(await runtime.openBackend());
  const model = opened.use(await verifier.load(backend, runtime.signal ? { signal: runtime.signal } : {}));
  const speculator = options.speculator === undefined
    ? null
    : opened.use(await openSpeculator(options.speculator, { registry: runtime.registry, verifier, model }));
  return new LocalAuthor(options, { runtime, text, model, speculator, opened: opened.move() });
}

class LocalAuthor implements Author {
  readonly endpoint: null = null;
  readonly model: string;
  readonly concurrency: 1 = 1;
  readonly warnings: readonly string[];
  readonly #options: LocalOptions;
  readonly #runtime: Runtime;
  readonly #text: TextModel;
  readonly #verifier: VerifierModel;
  readonly #speculator: OpenSpeculator | null;
  readonly #opened: AsyncDisposableStack;
  readonly #acceptance = new Acceptance();

  constructor(
    options: LocalOptions,
    what: {
      runtime: Runtime;
      text: TextModel;
      model: VerifierModel;
      speculator: OpenSpeculator | null;
      opened: AsyncDisposableStack;
    },
  ) {
    this.model = options.verifierNameOrPath;
    this.#options = options;
    this.#runtime = what.runtime;
    this.#text = what.text;
    this.#verifier = what.model;
    this.#speculator = what.speculator;
    this.#opened = what.opened;
    this.warnings = what.speculator?.doubt ? [what.speculator.doubt] : [];
  }

  async answer(messages: readonly Message[], index: number): Promise<Answer | { readonly refused: string }> {
    const { maxTokens, sampling, numSpecTokens } = this.#options, { ops, signal } = this.#runtime;
    const prompt = this.#prompt(messages);
    if (typeof prompt === "string") return { refused: prompt };
    // Each conversation has numbers of its own: what is drawn does not depend on where a run began.
    const random = new PythonRandom((sampling.seed ?? 0) + index), speculator = this.#speculator;
    const written: number[] = [];
    const rounds = decode(this.#verifier, prompt, {
      ops,
      maxTokens,
      sampling: {
        temperature: sampling.temperature ?? 0,
        ...(sampling.topP === undefined ? {} : { topP: sampling.topP }),
        ...(sampling.topK === undefined ? {} : { topK: sampling.topK }),
      },
      uniform: () => random.float(),
      eosTokenIds: this.#ends(),
      ...(speculator
        ? { draft: speculator.draft, numSpecTokens: numSpecTokens ?? speculator.numSpecTokens }
        : {}),
      ...(signal ? { signal } : {}),
    });
    for await (const round of rounds) {
      this.#acceptance.count(round);
      written.push(...round.tokens);
    }
    return {
      text: this.#text.decode(written, { skipSpecialTokens: true }),
      reasoning: null,
      finishReason: this.#ends().includes(written.at(-1) ?? -1) ? "stop" : "length",
      promptTokens: prompt.length,
      completionTokens: written.length,
    };
  }

  /** The prompt's tokens, or why there are none. */
  #prompt(messages: readonly Message[]): Int32Array | string {
    let rendered: string;
    try {
      rendered = this.#text.render(messages, { addGenerationPrompt: true });
    } catch (error) {
      if (error instanceof ConfigError) return "refused by the chat template";
      throw error;
    }
    if (!rendered.isWellFormed()) return "text is not Unicode";
    const { ids } = this.#text.encode(rendered);
    return ids.length < this.#verifier.info.maxPositions ? ids : "longer than the verifier's positions";
  }

  #ends(): readonly number[] {
    return [...new Set([...this.#verifier.info.eosTokenIds, ...this.#text.eosIds])];
  }

  acceptance(): AcceptanceRates | null {
    return this.#speculator ? this.#acceptance.rates() : null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
  }
}
