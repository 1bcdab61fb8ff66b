/** Answers to requests for texts: whole, or as a stream of events. */
import type { Delta, Piece, WrittenToken } from "./answer_text.ts";
import { failureBody, type RequestFailure } from "./failure.ts";
import type { Job } from "./job.ts";
import { type AnswerShape, usageOf } from "./shape.ts";

/** Milliseconds that a reader who does not read has after its time is over. */
const PATIENCE_MS = 2_000;

/** What an answer needs. */
export interface Reply {
  /** The texts. */
  readonly job: Job;
  /** How they look. */
  readonly shape: AnswerShape;
  /** The model's name. */
  readonly model: string;
  /** Say of each piece whether it was proposed. */
  readonly accepted: boolean;
  /** Gives the texts up. */
  readonly stop: AbortController;
  /** Any error as a refusal. */
  readonly failure: (error: unknown) => RequestFailure;
  /** Called when the answer is over, whole or not. */
  readonly onEnd: () => void;
}

/** Waits for all texts and gives them as one. */
export async function wholeReply({ job, shape, model, accepted }: Reply): Promise<object> {
  const all = job.choices.map(() => ({ pieces: [] as Piece[], tokens: [] as WrittenToken[] }));
  for await (const { choice, delta } of job.events()) {
    all[choice.index]!.pieces.push(...delta.pieces);
    all[choice.index]!.tokens.push(...delta.tokens);
  }
  return {
    ...head(shape, model, 0),
    choices: job.choices.map((choice) => ({
      ...shape.whole(choice, all[choice.index]!),
      ...(accepted ? { speculation: { pieces: all[choice.index]!.pieces } } : {}),
    })),
    usage: usageOf(job),
  };
}

/** Gives the texts as they come. Who leaves gives them up; what fails is told as an event. */
export function streamReply(reply: Reply, includeUsage: boolean): Response {
  const { stop, onEnd, failure } = reply, encoder = new TextEncoder();
  const lines = streamLines(reply, includeUsage);
  let timer: ReturnType<typeof setTimeout> | undefined, over = false;
  const end = () => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    onEnd();
  };
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      // A reader who does not read holds nothing back but the connection: that is cut.
      stop.signal.addEventListener("abort", () => {
        if (!over) timer = setTimeout(() => (controller.error(stop.signal.reason), end()), PATIENCE_MS);
      });
    },
    async pull(controller) {
      try {
        const { done, value } = await lines.next();
        if (over) return;
        if (!done) return controller.enqueue(encoder.encode(value));
      } catch (error) {
        if (over) return;
        controller.enqueue(encoder.encode(line(failureBody(failure(error)))));
      }
      controller.close();
      end();
    },
    async cancel() {
      end();
      stop.abort();
      await lines.return().catch(() => {});
    },
  });
  return new Response(body, {
    headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" },
  });
}

/** Events as text, each chunk with the fields and in the order that OpenAI's have. */
async function* streamLines(
  { job, shape, model, accepted }: Reply,
  includeUsage: boolean,
): AsyncGenerator<string, void, void> {
  const common = head(shape, model, 1);
  const chunk = (choices: readonly object[], usage: object | null = null) =>
    line({ ...common, choices, ...(includeUsage ? { usage } : {}) });
  for (const choice of job.choices) {
    const opening = shape.opening(choice);
    if (opening) yield chunk([opening]);
  }
  const held = new Map<number, readonly WrittenToken[]>();
  for await (const { choice, delta, round, last } of job.events()) {
    const tokens = [...held.get(choice.index) ?? [], ...delta.tokens];
    const shown: Delta = { pieces: delta.pieces, tokens };
    if (delta.pieces.length > 0 || (accepted && round.proposed > 0)) {
      const extra = accepted ? { speculation: { ...round, pieces: delta.pieces } } : {};
      yield chunk([{ ...shape.piece(choice, shown), ...extra }]);
      held.delete(choice.index);
    } else held.set(choice.index, tokens);
    if (last) {
      const rest = held.get(choice.index) ?? [];
      // Tokens without text, such as the one that ends it: they come with the last piece.
      const said = rest.length === 0 ? {} : logprobsOf(shape.piece(choice, { pieces: [], tokens: rest }));
      yield chunk([{ ...shape.closing(choice), ...said }]);
    }
  }
  if (includeUsage) yield chunk([], usageOf(job));
  yield "data: [DONE]\n\n";
}

function logprobsOf(piece: object): object {
  return { logprobs: (piece as { readonly logprobs?: unknown }).logprobs ?? null };
}

function head(shape: AnswerShape, model: string, object: 0 | 1): object {
  return {
    id: shape.prefix + crypto.randomUUID().replaceAll("-", ""),
    object: shape.objects[object],
    created: Math.floor(Date.now() / 1000),
    model,
    system_fingerprint: null,
  };
}

function line(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}
