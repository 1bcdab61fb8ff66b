/** Prompts of requests as tokens. */
import type { Message } from "../text/chat_template.ts";
import type { ServeEngine } from "./engine.ts";
import { RequestFailure } from "./failure.ts";
import type { CompletionRequest, WireChat, WireMessage } from "./wire.ts";

/** Longest token that counts when a text is too long to be looked at: longer ones are runs of blanks. */
const TOKEN_CHARS = 64;

/**
 * The prompt of a chat.
 *
 * @throws {RequestFailure} 400, when it is too long
 * @throws {ConfigError} when the template refuses it
 */
export function chatPrompt(engine: ServeEngine, request: WireChat): Int32Array {
  const rendered = engine.text.render(request.messages.map(messageOf), {
    addGenerationPrompt: request.add_generation_prompt ?? true,
    ...(request.chat_template_kwargs ? { variables: request.chat_template_kwargs } : {}),
  });
  return encode(engine, rendered, {
    addSpecialTokens: request.add_special_tokens ?? false,
    param: "messages",
  });
}

/**
 * The prompts of a completion: texts, or tokens.
 *
 * @throws {RequestFailure} 400, when one is too long, or no token of the model
 */
export function completionPrompts(engine: ServeEngine, request: CompletionRequest): Int32Array[] {
  const { prompt } = request, special = request.add_special_tokens ?? true;
  const several = Array.isArray(prompt) && typeof prompt[0] !== "number";
  const prompts = (several ? prompt : [prompt]) as readonly (string | readonly number[])[];
  return prompts.map((one) => {
    if (typeof one === "string") return encode(engine, one, { addSpecialTokens: special, param: "prompt" });
    return checkTokens(engine, one, "prompt");
  });
}

/**
 * A text as tokens.
 *
 * @throws {RequestFailure} 400, when it is so long that it is not looked at
 */
export function encode(
  engine: ServeEngine,
  text: string,
  { addSpecialTokens, param }: { readonly addSpecialTokens: boolean; readonly param: string },
): Int32Array {
  const most = TOKEN_CHARS * engine.maxTokens;
  if (text.length > most) {
    throw new RequestFailure(
      400,
      `This model's maximum context length is ${engine.maxTokens} tokens. However, your prompt has ${text.length} characters`,
      { param, code: "context_length_exceeded" },
    );
  }
  return engine.text.encode(text, { addSpecialTokens }).ids;
}

/**
 * Tokens that the model has.
 *
 * @throws {RequestFailure} 400
 */
export function checkTokens(engine: ServeEngine, tokens: readonly number[], param: string): Int32Array {
  const wrong = tokens.find((id) => id >= engine.vocabSize);
  if (wrong === undefined) return Int32Array.from(tokens);
  throw new RequestFailure(400, `Expected tokens from 0 to ${engine.vocabSize - 1}, received ${wrong}`, {
    param,
  });
}

/** What a template is shown of a turn. */
function messageOf({ content, ...fields }: WireMessage): Message {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  const text = typeof content === "string" ? content : (content ?? []).map(({ text }) => text).join("\n");
  return { ...Object.fromEntries(given), role: fields.role, content: text };
}
