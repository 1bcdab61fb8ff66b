/**
 * Answers requests over HTTP: OpenAI's protocol, tokens, figures, health, a page to chat on. Knows no socket: what is tested
 * without one is what runs behind one.
 *
 * @module
 */
import { BusyError } from "../errors.ts";
import { requireKey, requireLocalName } from "./access.ts";
import { type BodyLimits, readJsonBody } from "./body.ts";
import type { ServeEngine } from "./engine.ts";
import { failureOf, failureResponse, RequestFailure } from "./failure.ts";
import { type Job, startJob } from "./job.ts";
import { ServeMetrics } from "./metrics.ts";
import { chatPage } from "./page.ts";
import { chatPrompt, checkTokens, completionPrompts, encode } from "./prompts.ts";
import { type Reply, streamReply, wholeReply } from "./reply.ts";
import { checkRequest } from "./schemas.ts";
import { type AnswerShape, chatShape, completionShape } from "./shape.ts";
import type { CommonRequest } from "./wire.ts";

/** How requests are answered. */
export interface ServeAppOptions extends BodyLimits {
  /** Milliseconds that a request may take from its body's end to the answer's. */
  readonly requestTimeoutMs: number;
  /** What a request must bring; none when absent. */
  readonly apiKey?: string;
  /** Refuse requests by another name than this machine's. */
  readonly localOnly: boolean;
  /** Told of errors that are the server's. */
  readonly onError?: (error: unknown) => void;
}

type Answer = (request: Request, id: string) => Response | Promise<Response>;

/** What can be asked, by method and path; `open` needs no key. */
interface Route {
  readonly method: "GET" | "POST";
  readonly open?: boolean;
  readonly answer: Answer;
}

/** Answers requests. */
export class ServeApp {
  readonly #engine: ServeEngine;
  readonly #options: ServeAppOptions;
  readonly #metrics: ServeMetrics;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #active = new Set<Promise<void>>();
  #closing = false;

  constructor(engine: ServeEngine, options: ServeAppOptions) {
    this.#engine = engine;
    this.#options = options;
    this.#metrics = new ServeMetrics({
      model: engine.model,
      maxTokens: engine.maxTokens,
      positions: engine.numSpecTokens,
    });
    this.#routes = new Map<string, Route>([
      ["/", { method: "GET", open: true, answer: () => this.#page() }],
      ["/health", { method: "GET", open: true, answer: () => this.#health() }],
      ["/metrics", { method: "GET", answer: () => this.#figures() }],
      ["/v1/models", {
        method: "GET",
        answer: () => Response.json({ object: "list", data: [this.#model()] }),
      }],
      ["/v1/models/:id", { method: "GET", answer: (_, id) => this.#oneModel(id) }],
      ["/v1/chat/completions", { method: "POST", answer: (request) => this.#chat(request) }],
      ["/v1/completions", { method: "POST", answer: (request) => this.#complete(request) }],
      ["/tokenize", { method: "POST", answer: (request) => this.#tokenize(request) }],
      ["/detokenize", { method: "POST", answer: (request) => this.#detokenize(request) }],
    ]);
  }

  /** Requests that are being answered. */
  get active(): number {
    return this.#active.size;
  }

  /** Answers a request; never throws. */
  async handle(request: Request): Promise<Response> {
    let path = "none", response: Response;
    try {
      const { pathname } = new URL(request.url), id = /^\/v1\/models\/(.+)$/.exec(pathname)?.[1];
      const known = id === undefined ? pathname : "/v1/models/:id", route = this.#routes.get(known);
      if (this.#options.localOnly) requireLocalName(request);
      if (this.#options.apiKey !== undefined && !route?.open) requireKey(request, this.#options.apiKey);
      if (!route) {
        throw new RequestFailure(404, `Expected a path of the API, received ${pathname.slice(0, 200)}`);
      }
      path = known;
      const method = request.method === "HEAD" ? "GET" : request.method;
      if (method !== route.method) {
        throw new RequestFailure(405, `Expected ${route.method}, received ${request.method.slice(0, 20)}`, {
          headers: { allow: route.method },
        });
      }
      response = await route.answer(request, decodeURIComponent(id ?? ""));
    } catch (error) {
      response = failureResponse(this.#failure(error));
      if (request.body && !request.body.locked) request.body.cancel().catch(() => {});
    }
    this.#metrics.answered(path, request.method.slice(0, 20), response.status);
    return response;
  }

  /** Takes no more requests for texts, refuses those that wait, and finishes what runs. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#engine.scheduler.close();
    await Promise.all(this.#active);
  }

  #failure(error: unknown): RequestFailure {
    if (this.#closing && error instanceof BusyError) {
      return new RequestFailure(503, "The server is being shut down", {
        headers: { "retry-after": "5" },
        cause: error,
      });
    }
    const failure = error instanceof URIError
      ? new RequestFailure(400, "Expected a path with whole escapes, received another")
      : failureOf(error);
    if (failure.status === 500) this.#options.onError?.(error);
    return failure;
  }

  async #chat(request: Request): Promise<Response> {
    const body = checkRequest("chat", await readJsonBody(request, this.#options));
    this.#checkModel(body.model);
    const wants = body.logprobs ?? false;
    if (!wants && body.top_logprobs) {
      throw new RequestFailure(400, "Expected logprobs to be true, received top_logprobs alone", {
        param: "top_logprobs",
      });
    }
    return await this.#write(request, body, {
      prompts: [chatPrompt(this.#engine, body)],
      param: "messages",
      maxTokens: body.max_completion_tokens ?? body.max_tokens ?? null,
      logprobs: wants ? body.top_logprobs ?? 0 : null,
      shape: chatShape(this.#engine.text.tokenizer, wants),
    });
  }

  async #complete(request: Request): Promise<Response> {
    const body = checkRequest("completion", await readJsonBody(request, this.#options));
    this.#checkModel(body.model);
    const logprobs = body.logprobs ?? null, { text } = this.#engine;
    if (body.echo && logprobs !== null) {
      throw new RequestFailure(400, "Expected no logprobs beside echo, received both", { param: "logprobs" });
    }
    return await this.#write(request, body, {
      prompts: completionPrompts(this.#engine, body),
      param: "prompt",
      maxTokens: body.max_tokens ?? 16, // the protocol's default
      logprobs,
      shape: completionShape(text.tokenizer, {
        logprobs: logprobs !== null,
        echo: body.echo ? ({ prompt }) => text.decode(prompt, { skipSpecialTokens: true }) : null,
      }),
    });
  }

  /** Writes the texts of a request, whole or as a stream. */
  async #write(
    request: Request,
    body: CommonRequest,
    what: {
      readonly prompts: readonly Int32Array[];
      readonly param: string;
      readonly maxTokens: number | null;
      readonly logprobs: number | null;
      readonly shape: AnswerShape;
    },
  ): Promise<Response> {
    if (this.#closing) {
      throw new BusyError("request", "expected an open server, received one that is being shut down");
    }
    const { requestTimeoutMs } = this.#options, stop = new AbortController();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      stop.abort();
    }, requestTimeoutMs);
    const leave = () => stop.abort();
    const { promise, resolve } = Promise.withResolvers<void>();
    const onEnd = () => {
      clearTimeout(timer);
      request.signal.removeEventListener("abort", leave);
      this.#active.delete(promise);
      resolve();
    };
    const failure = (error: unknown) =>
      late
        ? new RequestFailure(503, `Expected an answer within ${requestTimeoutMs / 1000} s; it took longer`, {
          code: "timeout",
          headers: { "retry-after": "1" },
        })
        : this.#failure(error);
    let job: Job;
    try {
      job = startJob(this.#engine, body, { ...what, signal: stop.signal, metrics: this.#metrics });
    } catch (error) {
      clearTimeout(timer);
      throw error;
    }
    this.#active.add(promise);
    const accepted = body.return_accepted ?? false, { shape } = what;
    const reply: Reply = { job, shape, model: this.#engine.model, accepted, stop, failure, onEnd };
    if (body.stream) return streamReply(reply, body.stream_options?.include_usage ?? false);
    request.signal.addEventListener("abort", leave);
    try {
      return Response.json(await wholeReply(reply));
    } catch (error) {
      throw failure(error);
    } finally {
      onEnd();
    }
  }

  async #tokenize(request: Request): Promise<Response> {
    const body = checkRequest("tokenize", await readJsonBody(request, this.#options)),
      { text, maxTokens } = this.#engine;
    this.#checkModel(body.model);
    const ids = "prompt" in body
      ? encode(this.#engine, body.prompt, {
        addSpecialTokens: body.add_special_tokens ?? true,
        param: "prompt",
      })
      : chatPrompt(this.#engine, body);
    const tokens = Array.from(ids);
    return Response.json({
      count: tokens.length,
      max_model_len: maxTokens,
      tokens,
      token_strs: body.return_token_strs ? tokens.map((id) => text.decode([id])) : null,
    });
  }

  async #detokenize(request: Request): Promise<Response> {
    const body = checkRequest("detokenize", await readJsonBody(request, this.#options));
    this.#checkModel(body.model);
    return Response.json({
      prompt: this.#engine.text.decode(checkTokens(this.#engine, body.tokens, "tokens")),
    });
  }

  #checkModel(asked: string | null | undefined): void {
    const { model } = this.#engine;
    if (asked === null || asked === undefined || asked === model) return;
    throw new RequestFailure(
      404,
      `The model "${asked.slice(0, 200)}" does not exist; this server has "${model}"`,
      {
        param: "model",
        code: "model_not_found",
      },
    );
  }

  #model(): object {
    const { model, created, maxTokens } = this.#engine;
    return {
      id: model,
      object: "model",
      created,
      owned_by: "speculators",
      root: model,
      parent: null,
      max_model_len: maxTokens,
    };
  }

  #oneModel(id: string): Response {
    this.#checkModel(id);
    return Response.json(this.#model());
  }

  #health(): Response {
    return new Response(null, this.#closing ? { status: 503 } : {});
  }

  #figures(): Response {
    return new Response(this.#metrics.render(this.#engine.scheduler.stats()), {
      headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
    });
  }

  #page(): Response {
    return new Response(chatPage({ model: this.#engine.model, speculates: this.#engine.numSpecTokens > 0 }), {
      headers: {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
      },
    });
  }
}
