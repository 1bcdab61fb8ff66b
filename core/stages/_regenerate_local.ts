/** Answers from the verifier on this machine, several written together, sooner with a speculator. */
import { PythonRandom } from "../data/random.ts";
import type { AcceptanceRates } from "../decode/acceptance.ts";
import { Scheduler } from "../decode/scheduler.ts";
import { ConfigError } from "../errors.ts";
import type { VerifierInfo } from "../plugin.ts";
import type { Runtime } from "../runtime.ts";
import { openSpeculator } from "../speculator.ts";
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
  /** Answers written together. */
  readonly concurrency: number;
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
  const { concurrency, numSpecTokens = speculator?.numSpecTokens ?? 0 } = options;
  // Closed first: what it works on goes before the models do.
  const scheduler = opened.use(
    new Scheduler(model, {
      ops: runtime.ops,
      maxSequences: concurrency,
      ...(speculator ? { draft: speculator.draft, numSpecTokens } : {}),
    }),
  );
  return new LocalAuthor(options, {
    info: verifier.info,
    text,
    scheduler,
    helped: speculator !== null,
    doubt: speculator?.doubt ?? null,
    signal: runtime.signal,
    opened: opened.move(),
  });
}

interface LocalParts {
  readonly info: VerifierInfo;
  readonly text: TextModel;
  readonly scheduler: Scheduler;
  readonly helped: boolean;
  readonly doubt: string | null;
  readonly signal: AbortSignal | undefined;
  readonly opened: AsyncDisposableStack;
}

class LocalAuthor implements Author {
  readonly endpoint: null = null;
  readonly model: string;
  readonly concurrency: number;
  readonly warnings: readonly string[];
  readonly #options: LocalOptions;
  readonly #parts: LocalParts;
  readonly #ends: readonly number[];

  constructor(options: LocalOptions, parts: LocalParts) {
    this.model = options.verifierNameOrPath;
    this.concurrency = options.concurrency;
    this.warnings = parts.doubt === null ? [] : [parts.doubt];
    this.#options = options;
    this.#parts = parts;
    this.#ends = [...new Set([...parts.info.eosTokenIds, ...parts.text.eosIds])];
  }

  async answer(messages: readonly Message[], index: number): Promise<Answer | { readonly refused: string }> {
    const { maxTokens, sampling } = this.#options, { scheduler, signal, text } = this.#parts;
    const prompt = this.#prompt(messages);
    if (typeof prompt === "string") return { refused: prompt };
    // Each conversation has numbers of its own: what is drawn does not depend on where a run began.
    const random = new PythonRandom((sampling.seed ?? 0) + index), written: number[] = [];
    const rounds = scheduler.submit({
      prompt,
      maxTokens,
      sampling: {
        temperature: sampling.temperature ?? 0,
        ...(sampling.topP === undefined ? {} : { topP: sampling.topP }),
        ...(sampling.topK === undefined ? {} : { topK: sampling.topK }),
      },
      uniform: () => random.float(),
      eosTokenIds: this.#ends,
      ...(signal ? { signal } : {}),
    });
    for await (const { tokens } of rounds) written.push(...tokens);
    return {
      text: text.decode(written, { skipSpecialTokens: true }),
      reasoning: null,
      finishReason: this.#ends.includes(written.at(-1) ?? -1) ? "stop" : "length",
      promptTokens: prompt.length,
      completionTokens: written.length,
    };
  }

  /** The prompt's tokens, or why there are none. */
  #prompt(messages: readonly Message[]): Int32Array | string {
    let rendered: string;
    try {
      rendered = this.#parts.text.render(messages, { addGenerationPrompt: true });
    } catch (error) {
      if (error instanceof ConfigError) return "refused by the chat template";
      throw error;
    }
    if (!rendered.isWellFormed()) return "text is not Unicode";
    const { ids } = this.#parts.text.encode(rendered);
    return ids.length < this.#parts.info.maxPositions ? ids : "longer than the verifier's positions";
  }

  acceptance(): AcceptanceRates | null {
    const { helped, scheduler } = this.#parts;
    return helped ? scheduler.stats().acceptance : null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.opened.disposeAsync();
  }
}
