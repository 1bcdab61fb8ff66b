/** One streamed request to a server, and when its parts came. */
import { readEvents } from "./events.ts";

/** What is asked: the body of a completion or of a chat completion, without `stream`. */
export type LoadBody = Readonly<Record<string, unknown>>;

/** How a request went. Times are milliseconds after the run's start. */
export interface LoadRecord {
  /** Which body it was. */
  readonly index: number;
  /** When it was due: where the load does not wait for answers, later starts are the generator's own delay. */
  readonly due: number;
  /** When it was sent. */
  readonly start: number;
  /** When the first text came; `null` where none did. */
  readonly first: number | null;
  /** When the last text came; `null` where none did. */
  readonly last: number | null;
  /** When it was over. */
  readonly end: number;
  /** How it ended: `cancelled` where the run stopped it. */
  readonly outcome: "ok" | "refused" | "failed" | "cancelled";
  /** Status of the answer; `null` where there was none. */
  readonly status: number | null;
  /** What went wrong, in the server's words or the client's. */
  readonly error: string | null;
  /** Tokens of the prompt, as the server counts; 0 where it does not. */
  readonly promptTokens: number;
  /** Tokens written, as the server counts; events with text where it does not. */
  readonly tokens: number;
  /** Of them those that were proposed by a draft, where the server says. */
  readonly acceptedTokens: number;
  /** What was written. */
  readonly text: string;
}

/** How a request is sent. */
export interface LoadRequestOptions {
  /** The address of the endpoint itself, such as `http://127.0.0.1:8000/v1/chat/completions`. */
  readonly url: string;
  /** Which body it is. */
  readonly index: number;
  /** When it was due, in milliseconds of `now`. */
  readonly due: number;
  /** Milliseconds since the run's start. */
  readonly now: () => number;
  /** Sent as a bearer's key. */
  readonly apiKey?: string;
  /** Stops it. */
  readonly signal: AbortSignal;
}

/** Longest text of an error that is kept. */
const MAX_DETAIL = 300;

/** Sends a request and reads its answer to the end. Throws nothing: what goes wrong is in the record. */
export async function sendRequest(body: LoadBody, options: LoadRequestOptions): Promise<LoadRecord> {
  const { url, index, due, now, apiKey, signal } = options, start = now();
  const found = {
    first: null as number | null,
    last: null as number | null,
    status: null as number | null,
    promptTokens: 0,
    tokens: 0,
    acceptedTokens: 0,
    text: "",
  };
  const record = (outcome: LoadRecord["outcome"], error: string | null = null): LoadRecord => ({
    index,
    due,
    start,
    end: now(),
    outcome,
    error,
    ...found,
  });
  try {
    const response = await fetch(url, {
      method: "POST",
      redirect: "error", // only the endpoint that was given is loaded
      headers: {
        "content-type": "application/json",
        ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
      },
      body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
      signal,
    });
    found.status = response.status;
    if (!response.ok) {
      const detail = (await response.text()).slice(0, MAX_DETAIL);
      return record(response.status === 429 || response.status === 503 ? "refused" : "failed", detail);
    }
    let events = 0, counted: number | null = null, done = false;
    for await (const data of readEvents(response.body!)) {
      if (data === "[DONE]") {
        done = true;
        continue; // read to the end, so that the connection can be used again
      }
      const event = JSON.parse(data) as StreamEvent;
      if (event.error) return record("failed", String(event.error.message ?? data).slice(0, MAX_DETAIL));
      for (const choice of event.choices ?? []) {
        const text = choice.delta?.content ?? choice.text ?? "";
        if (text === "") continue;
        found.first ??= now();
        found.last = now();
        found.text += text;
        events++;
      }
      if (!event.usage) continue;
      found.promptTokens = event.usage.prompt_tokens ?? 0;
      found.acceptedTokens = event.usage.completion_tokens_details?.accepted_prediction_tokens ?? 0;
      counted = event.usage.completion_tokens ?? null;
    }
    found.tokens = counted ?? events;
    return done ? record("ok") : record("failed", "the answer ended before its end");
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    return signal.aborted ? record("cancelled") : record("failed", message.slice(0, MAX_DETAIL));
  }
}

/** What of a streamed event is looked at. */
interface StreamEvent {
  readonly error?: { readonly message?: unknown };
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null };
    readonly text?: string;
  }[];
  readonly usage?: {
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly completion_tokens_details?: { readonly accepted_prediction_tokens?: number } | null;
  } | null;
}
