/** Answers from a server that speaks OpenAI's protocol. */
import { apiBase, servedModel } from "../endpoint.ts";
import { AbortedError, EndpointError } from "../errors.ts";
import { type JsonRequest, requestJson } from "../json_request.ts";
import type { Message } from "../text/chat_template.ts";
import type { Answer, AnswerSampling, Author } from "./_regenerate_author.ts";

/** Which server, and how it is asked. */
export interface EndpointOptions extends Pick<JsonRequest, "tries" | "backoffMs" | "timeoutMs" | "signal"> {
  /** Its address, with or without `/v1/chat/completions`. */
  readonly endpoint: string;
  /** Model asked for; the server's first one when absent. */
  readonly model?: string;
  /** Secret it asks for. */
  readonly apiKey?: string;
  /** Requests under way at once. */
  readonly concurrency: number;
  /** Most tokens of an answer. */
  readonly maxTokens: number;
  /** How answers are drawn. */
  readonly sampling: AnswerSampling;
}

/** Longer than any answer of a busy server; one that says nothing for so long is asked again. */
const TIMEOUT_MS = 3_600_000;

/** What a server says of one conversation, not of all: it does not fit, or its template refuses it. */
const REFUSED: ReadonlySet<number> = new Set([400, 413, 422]);

/**
 * Looks who is there.
 *
 * @throws {EndpointError} when nobody answers
 * @throws {NotFoundError} when the server serves nothing
 */
export async function openEndpointAuthor(options: EndpointOptions): Promise<Author> {
  const base = apiBase(options.endpoint), { signal, apiKey } = options;
  const request: JsonRequest = {
    ...(signal ? { signal } : {}),
    ...(apiKey === undefined ? {} : { headers: { authorization: `Bearer ${apiKey}` } }),
  };
  const served = await servedModel(base, {
    ...request,
    ...(options.model === undefined ? {} : { wanted: options.model }),
  }).catch((error) => {
    // A model that is named is asked for as it is: not every server lists what it has.
    if (options.model === undefined || error instanceof AbortedError) throw error;
    return { id: options.model, maxTokens: null };
  });
  const room = served.maxTokens ?? Infinity;
  return new EndpointAuthor(`${base}/chat/completions`, { ...options, model: served.id, request, room });
}

class EndpointAuthor implements Author {
  readonly endpoint: string;
  readonly model: string;
  readonly concurrency: number;
  readonly warnings: readonly string[] = [];
  readonly #request: JsonRequest;
  readonly #maxTokens: number;
  /** Whether prompt and answer together may be longer than an answer: where not, the server's limit is the limit. */
  readonly #roomy: boolean;
  readonly #body: Readonly<Record<string, unknown>>;

  constructor(
    url: string,
    options: EndpointOptions & {
      readonly model: string;
      readonly request: JsonRequest;
      readonly room: number;
    },
  ) {
    const { model, concurrency, maxTokens, sampling: { temperature, topP, topK, seed } } = options;
    this.endpoint = url;
    this.model = model;
    this.concurrency = concurrency;
    this.#request = {
      ...options.request,
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      ...(options.tries === undefined ? {} : { tries: options.tries }),
      ...(options.backoffMs === undefined ? {} : { backoffMs: options.backoffMs }),
    };
    this.#maxTokens = maxTokens;
    this.#roomy = maxTokens < options.room;
    this.#body = {
      model,
      ...(temperature === undefined ? {} : { temperature }),
      ...(topP === undefined ? {} : { top_p: topP }),
      ...(topK === undefined ? {} : { top_k: topK }),
      ...(seed === undefined ? {} : { seed }),
    };
  }

  async answer(messages: readonly Message[]): Promise<Answer | { readonly refused: string }> {
    const asked = { ...this.#body, messages };
    try {
      if (!this.#roomy) return await this.#ask(asked);
      try {
        return await this.#ask({ ...asked, max_tokens: this.#maxTokens });
      } catch (error) {
        if (!isRefusal(error)) throw error;
        // The prompt may leave less room than that: without a number, an answer gets what there is.
        const answer = await this.#ask(asked).catch(() => null);
        if (answer === null || answer.completionTokens > this.#maxTokens) throw error;
        return answer;
      }
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return { refused: `refused by the server (${error.message.replace(/^.*?received status /s, "")})` };
    }
  }

  async #ask(body: Readonly<Record<string, unknown>>): Promise<Answer> {
    return this.#read(await requestJson(this.endpoint, { ...this.#request, body }));
  }

  #read(answer: Readonly<Record<string, unknown>>): Answer {
    const choice = object(Array.isArray(answer.choices) ? answer.choices[0] : undefined);
    const message = object(choice.message), usage = object(answer.usage);
    if (message.content !== null && typeof message.content !== "string") {
      throw new EndpointError(this.endpoint, "expected a message with a text, received something else", {
        hint: "Is it the address of a server that speaks OpenAI's protocol?",
      });
    }
    return {
      text: message.content ?? "",
      // vLLM called it so first, and other servers still do.
      reasoning: text(message.reasoning_content) ?? text(message.reasoning),
      finishReason: text(choice.finish_reason),
      promptTokens: count(usage.prompt_tokens),
      completionTokens: count(usage.completion_tokens),
    };
  }

  acceptance(): null {
    return null;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function isRefusal(error: unknown): error is EndpointError {
  return error instanceof EndpointError && error.status !== null && REFUSED.has(error.status);
}

function object(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function count(value: unknown): number {
  return Number.isSafeInteger(value) ? value as number : 0;
}
