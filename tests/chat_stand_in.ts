/** A server that answers chats in OpenAI's protocol, words made up, faults on demand. */

/** What an answer is made of. */
export interface ChatAnswer {
  /** Status; 200 unless given. */
  readonly status?: number;
  /** The message; what was asked, told back, unless given. */
  readonly message?: Readonly<Record<string, unknown>>;
  /** The whole body instead. */
  readonly body?: string;
  /** End the connection within the answer. */
  readonly dropped?: boolean;
  /** Milliseconds before it. */
  readonly delayMs?: number;
}

/** What a server was asked. */
export interface ChatRequest {
  /** Conversation so far. */
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  /** Everything else. */
  readonly [field: string]: unknown;
}

/** A stand-in at work. */
export interface ChatStandIn extends AsyncDisposable {
  /** Its address. */
  readonly endpoint: string;
  /** What it was asked, in order. */
  readonly requests: ChatRequest[];
  /** Headers of the last request. */
  readonly headers: Headers;
  /** Most requests that were under way at once. */
  readonly most: number;
}

/** Starts one. `answer` decides on the n-th request, from 0. */
export async function chatStandIn(
  answer: (request: ChatRequest, n: number) => ChatAnswer = () => ({}),
): Promise<ChatStandIn> {
  const requests: ChatRequest[] = [];
  let running = 0, most = 0, headers = new Headers();
  const { promise, resolve } = Promise.withResolvers<void>();
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => resolve() },
    async (request) => {
      const { pathname } = new URL(request.url);
      headers = request.headers;
      if (pathname === "/v1/models") {
        return Response.json({
          data: [{ id: "org/the-model", max_model_len: 10_000 }, { id: "small", max_model_len: 100 }],
        });
      }
      if (pathname !== "/v1/chat/completions") {
        await request.body?.cancel();
        return Response.json({ detail: "Not Found" }, { status: 404 });
      }
      most = Math.max(most, ++running);
      try {
        const body: ChatRequest = await request.json(), n = requests.push(body) - 1;
        return await respond(body, answer(body, n));
      } finally {
        running--;
      }
    },
  );
  await promise;
  return {
    endpoint: `http://127.0.0.1:${server.addr.port}`,
    requests,
    get headers() {
      return headers;
    },
    get most() {
      return most;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

async function respond(request: ChatRequest, answer: ChatAnswer): Promise<Response> {
  const { status = 200, delayMs = 0, dropped, body } = answer;
  if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
  if (dropped) {
    return cutOff('{"choices": ');
  }
  if (body !== undefined) return new Response(body, { status });
  if (status !== 200) return Response.json({ error: { message: "This is the reason." } }, { status });
  return Response.json({
    choices: [{
      message: answer.message ?? { role: "assistant", content: toldBack(request) },
      finish_reason: "stop",
    }],
    usage: { prompt_tokens: 10, completion_tokens: 3 },
  });
}

/** An answer whose connection ends before the length that was announced. */
export function cutOff(text: string): Response {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text));
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-length": String(text.length + 1000) } });
}

/** The answer that is given to a conversation: it tells what came before. */
export function toldBack({ messages }: Pick<ChatRequest, "messages">): string {
  return `<${messages.map(({ role, content }) => `${role[0]}:${content}`).join("|")}>`;
}
