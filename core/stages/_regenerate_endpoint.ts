/** Answers from a server that speaks OpenAI's protocol. */
import { apiBase, servedModel } from "../endpoint.ts";
import { EndpointError } from "../errors.ts";
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
  // A model that is named is asked for as it is: not every server lists what it has.
  const model = options.model ?? (await servedModel(base, request)).id;
  return new EndpointAuthor(`${base}/chat/completions`, { ...options, model, request });
}

class EndpointAuthor implements Author {
  readonly endpoint: string;
  readonly model: string;
  readonly concurrency: number;
  readonly warnings: readonly string[] = [];
  readonly #request: JsonRequest;
  readonly #body: Readonly<Record<string, unknown>>;

  constructor(
    url: string,
    options: EndpointOptions & { readonly model: string; readonly request: JsonRequest },
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
    this.#body = {
      model,
      max_tokens: maxTokens,
      ...(temperature === undefined ? {} : { temperature }),
      ...(topP === undefined ? {} : { top_p: topP }),
      ...(topK === undefined ? {} : { top_k: topK }),
      ...(seed === undefined ? {} : { seed }),
    };
  }

  async answer(messages: readonly Message[]): Promise<Answer | { readonly refused: string }> {
    try {
      return this.#read(
        await requestJson(this.endpoint, { ...this.#request, body: { ...this.#body, messages } }),
      );
    } catch (error) {
      if (!(error instanceof EndpointError) || error.status === null || !REFUSED.has(error.status)) {
        throw error;
      }
      return { refused: `refused by the server (${error.message.replace(/^.*?received status /s, "")})` };
    }
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

function object(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function count(value: unknown): number {
  return Number.isSafeInteger(value) ? value as number : 0;
}
