/** How answers look: chats and completions, whole and in pieces. */
import type { TextTokenizer } from "../text/tokenizer.ts";
import type { Delta, WrittenToken } from "./answer_text.ts";
import type { Choice, Job } from "./job.ts";

/** How one kind of answer looks. */
export interface AnswerShape {
  /** What its ids begin with. */
  readonly prefix: string;
  /** `object` of a whole answer, and of a piece of one. */
  readonly objects: readonly [whole: string, piece: string];
  /** The first piece of a text, before there is any of it; `null` where there is none. */
  opening(choice: Choice): object | null;
  /** A piece with text. */
  piece(choice: Choice, delta: Delta): object;
  /** The last piece. */
  closing(choice: Choice): object;
  /** A whole text. */
  whole(choice: Choice, all: Delta): object;
}

/** Chats. */
export function chatShape(tokenizer: TextTokenizer, logprobs: boolean): AnswerShape {
  const token = (id: number, logprob: number) => ({ ...namesOf(tokenizer, id), logprob: finite(logprob) });
  const said = (tokens: readonly WrittenToken[]) =>
    !logprobs ? null : {
      content: tokens.map(({ id, logprobs }) => ({
        ...token(id, logprobs!.logprob),
        top_logprobs: logprobs!.top.map((one) => token(one.token, one.logprob)),
      })),
      refusal: null,
    };
  return {
    prefix: "chatcmpl-",
    objects: ["chat.completion", "chat.completion.chunk"],
    opening: ({ index }) => ({
      index,
      delta: { role: "assistant", content: "", refusal: null },
      logprobs: null,
      finish_reason: null,
    }),
    piece: ({ index }, delta) => ({
      index,
      delta: { content: textOf(delta) },
      logprobs: said(delta.tokens),
      finish_reason: null,
    }),
    closing: ({ index, answer }) => ({ index, delta: {}, logprobs: null, finish_reason: answer.finish }),
    whole: ({ index, answer }, all) => ({
      index,
      message: { role: "assistant", content: textOf(all), refusal: null },
      logprobs: said(all.tokens),
      finish_reason: answer.finish,
    }),
  };
}

/** Completions. @param echo the prompt's text, put before each text */
export function completionShape(
  tokenizer: TextTokenizer,
  { logprobs, echo }: { readonly logprobs: boolean; readonly echo: ((choice: Choice) => string) | null },
): AnswerShape {
  const lengths = new Map<Choice, number>();
  const said = (choice: Choice, tokens: readonly WrittenToken[]) => {
    if (!logprobs) return null;
    const names = tokens.map(({ id }) => namesOf(tokenizer, id).token);
    let at = lengths.get(choice) ?? echo?.(choice).length ?? 0;
    const text_offset = names.map((name) => (at += name.length) - name.length);
    lengths.set(choice, at);
    return {
      tokens: names,
      token_logprobs: tokens.map(({ logprobs }) => finite(logprobs!.logprob)),
      top_logprobs: tokens.map(({ logprobs }) =>
        Object.fromEntries(
          logprobs!.top.map(({ token, logprob }) => [namesOf(tokenizer, token).token, finite(logprob)]),
        )
      ),
      text_offset,
    };
  };
  return {
    prefix: "cmpl-",
    objects: ["text_completion", "text_completion"],
    opening: (choice) =>
      echo ? { text: echo(choice), index: choice.index, logprobs: null, finish_reason: null } : null,
    piece: (choice, delta) => ({
      text: textOf(delta),
      index: choice.index,
      logprobs: said(choice, delta.tokens),
      finish_reason: null,
    }),
    closing: ({ index, answer }) => ({ text: "", index, logprobs: null, finish_reason: answer.finish }),
    whole: (choice, all) => ({
      text: (echo?.(choice) ?? "") + textOf(all),
      index: choice.index,
      logprobs: said(choice, all.tokens),
      finish_reason: choice.answer.finish,
    }),
  };
}

/** Tokens of a request. Rejected ones were proposed in vain: they are none of the answer's, and cost nothing. */
export function usageOf({ choices, promptTokens }: Job): object {
  const sum = (name: "tokens" | "accepted" | "rejected") =>
    choices.reduce((all, { answer }) => all + answer.counts[name], 0);
  const written = sum("tokens");
  return {
    prompt_tokens: promptTokens,
    completion_tokens: written,
    total_tokens: promptTokens + written,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: 0,
      audio_tokens: 0,
      accepted_prediction_tokens: sum("accepted"),
      rejected_prediction_tokens: sum("rejected"),
    },
  };
}

/** Text of what is new. */
export function textOf({ pieces }: Delta): string {
  return pieces.map(({ text }) => text).join("");
}

function namesOf(tokenizer: TextTokenizer, id: number): { readonly token: string; readonly bytes: number[] } {
  const token = tokenizer.decode([id]);
  return { token, bytes: [...tokenizer.byteLevel ? tokenizer.bytesOf(id) : new TextEncoder().encode(token)] };
}

/** JSON has no infinity. */
function finite(logprob: number): number {
  return Math.max(logprob, -9999);
}
