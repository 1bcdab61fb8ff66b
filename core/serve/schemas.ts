/**
 * What requests look like on the wire: OpenAI's fields, and of vLLM's those that are known here. A field that would change
 * the text and is not known here is refused, unless it asks for nothing; others are not looked at.
 *
 * source: https://platform.openai.com/docs/api-reference; vllm entrypoints/openai and entrypoints/serve/tokenize
 *
 * @module
 */
import { z } from "../config/_zod.ts";
import { RequestFailure } from "./failure.ts";
import type { Requests } from "./wire.ts";

/** Most stop strings, and characters of one. */
const MAX_STOPS = 16, MAX_STOP_CHARS = 512;

/** Most of the likeliest tokens that are told of. */
const MAX_LOGPROBS = 20;

/** Most texts of one request. */
export const MAX_CHOICES = 128;

type Schemas = { readonly [K in keyof Requests]: z.ZodType<Requests[K]> };

let made: Schemas | undefined;

/**
 * A body that is known to be well formed.
 *
 * @throws {RequestFailure} 400, naming the first field that is wrong
 */
export function checkRequest<K extends keyof Requests>(kind: K, body: unknown): Requests[K] {
  made ??= schemas();
  const found = made[kind].safeParse(body);
  if (found.success) return found.data as Requests[K];
  const [issue] = found.error.issues, path = issue!.path.map(String).join(".");
  const expected = issue!.message.replace(/^Invalid input: /, "").replace(
    /^[A-Z]/,
    (letter) => letter.toLowerCase(),
  );
  const message = `Cannot use ${path === "" ? "the request" : `"${path.slice(0, 200)}"`}: ${
    expected.slice(0, 300)
  }`;
  throw new RequestFailure(400, message, path === "" ? {} : { param: path.slice(0, 200) });
}

/** Made when the first request comes. */
function schemas(): Schemas {
  const whole = (min: number, max: number = Number.MAX_SAFE_INTEGER) => z.number().int().min(min).max(max);
  const stopText = z.string().min(1).max(MAX_STOP_CHARS).refine(
    (text) => text.isWellFormed(),
    "expected Unicode",
  );

  /** A field that is not known here may be there as long as it asks for nothing. */
  function neutral(...values: readonly unknown[]): z.ZodType {
    const nothing = (value: unknown) =>
      value === undefined || value === null || values.includes(value) ||
      (typeof value === "object" && Object.keys(value).length === 0);
    return z.unknown().refine(nothing, "expected nothing: this server does not have it").optional();
  }

  const common = {
    model: z.string().max(1024).nullish(),
    n: whole(1, MAX_CHOICES).nullish(),
    stream: z.boolean().nullish(),
    stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
    max_tokens: whole(1).nullish(),
    temperature: z.number().min(0).max(100).nullish(),
    top_p: z.number().gt(0).max(1).nullish(),
    top_k: whole(-1).nullish(),
    seed: whole(Number.MIN_SAFE_INTEGER).nullish(),
    stop: z.union([stopText, z.array(stopText).max(MAX_STOPS)]).nullish(),
    stop_token_ids: z.array(whole(0)).max(64).nullish(),
    ignore_eos: z.boolean().nullish(),
    // Not OpenAI's: a draft length of its own, and which text was proposed.
    num_spec_tokens: whole(0, 63).nullish(),
    return_accepted: z.boolean().nullish(),
    user: z.string().nullish(),
    frequency_penalty: neutral(0),
    presence_penalty: neutral(0),
    repetition_penalty: neutral(1),
    logit_bias: neutral(),
    min_p: neutral(0),
    min_tokens: neutral(0),
    use_beam_search: neutral(false),
    best_of: neutral(1),
    bad_words: neutral(),
    allowed_token_ids: neutral(),
    prompt_logprobs: neutral(0),
    structured_outputs: neutral(),
  };

  const toolCall = z.object({
    id: z.string(),
    type: z.literal("function"),
    function: z.object({ name: z.string(), arguments: z.string() }),
  });

  const message = z.object({
    role: z.enum(["system", "developer", "user", "assistant", "tool", "function"]),
    content: z.union([z.string(), z.array(z.object({ type: z.literal("text"), text: z.string() }))])
      .nullish(),
    name: z.string().nullish(),
    tool_call_id: z.string().nullish(),
    tool_calls: z.array(toolCall).nullish(),
    reasoning_content: z.string().nullish(),
  });

  const chat = {
    messages: z.array(message).min(1),
    add_generation_prompt: z.boolean().nullish(),
    add_special_tokens: z.boolean().nullish(),
    chat_template_kwargs: z.record(
      z.string().regex(/^(?!__)\w{1,64}$/),
      z.union([z.string(), z.number(), z.boolean(), z.null()]),
    ).nullish(),
  };

  const chatRequest = z.object({
    ...common,
    ...chat,
    max_completion_tokens: whole(1).nullish(),
    logprobs: z.boolean().nullish(),
    top_logprobs: whole(0, MAX_LOGPROBS).nullish(),
    tools: neutral(),
    functions: neutral(),
    tool_choice: neutral("none", "auto"),
    response_format: z.object({ type: z.literal("text") }).nullish(),
    modalities: z.array(z.literal("text")).nullish(),
    audio: neutral(),
  });

  const ids = z.array(whole(0, 2 ** 31 - 1)).min(1);

  const completionRequest = z.object({
    ...common,
    prompt: z.union([
      z.string(),
      ids,
      z.array(z.string()).min(1).max(MAX_CHOICES),
      z.array(ids).min(1).max(MAX_CHOICES),
    ]),
    add_special_tokens: z.boolean().nullish(),
    logprobs: whole(0, MAX_LOGPROBS).nullish(),
    echo: z.boolean().nullish(),
    suffix: neutral(""),
    response_format: z.object({ type: z.literal("text") }).nullish(),
  });

  const tokenizeRequest = z.union([
    z.object({
      model: common.model,
      prompt: z.string(),
      add_special_tokens: z.boolean().nullish(),
      return_token_strs: z.boolean().nullish(),
    }),
    z.object({ model: common.model, ...chat, return_token_strs: z.boolean().nullish() }),
  ]);

  const detokenizeRequest = z.object({ model: common.model, tokens: z.array(whole(0, 2 ** 31 - 1)) });
  return {
    chat: chatRequest,
    completion: completionRequest,
    tokenize: tokenizeRequest,
    detokenize: detokenizeRequest,
  };
}
