/**
 * Records of data sets to conversations: ShareGPT, OpenAI messages, Alpaca, plain text.
 *
 * @module
 */
import type { Message } from "../text/chat_template.ts";

/** A record that holds no conversation, and why. */
export interface Rejection {
  /** A short fixed phrase, to count by. */
  readonly reason: string;
}

/** What a record holds: a conversation, or a text that belongs to nobody. */
export type Normalized =
  | { readonly messages: readonly Message[]; readonly images?: readonly string[] }
  | { readonly document: string }
  | { readonly rejected: Rejection };

/** How records are read. */
export interface NormalizeOptions {
  /**
   * Read as upstream does: only the column `conversations`, contents of any type, and a `from` that is there but null
   * hides `role`.
   */
  readonly strictUpstream?: boolean;
  /**
   * Take contents with images: they stay lists of parts, and where the images are is told beside the messages, in their order.
   * Without it such records are rejected.
   */
  readonly images?: boolean;
  /** Turn dropout: stop after the first assistant turn whose number (from 1, raw turns counted) is at least this. */
  readonly keepTurns?: number;
}

/** Columns that a record is known by, and those that go with them. */
export const RECORD_COLUMNS: readonly string[] = [
  "conversations",
  "conversation",
  "messages",
  "instruction",
  "prompt",
  "input",
  "output",
  "response",
  "completion",
  "system",
  "text",
];

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads a record of any known layout.
 *
 * A layout is known by its columns, in this order: `conversations` (ShareGPT: `from`/`value`, or `role`/`content`),
 * `messages`, `instruction` with `output` (Alpaca), `prompt` with `response` or `completion`, `text`.
 */
export function normalizeRecord(record: unknown, options: NormalizeOptions = {}): Normalized {
  if (!isObject(record)) return reject("record is not an object");
  if (options.strictUpstream) return normalizeConversation(record.conversations, options);
  for (const column of ["conversations", "conversation", "messages"]) {
    if (record[column] !== undefined) return normalizeConversation(record[column], options);
  }
  const instruction = text(record.instruction) ?? text(record.prompt);
  const answer = text(record.output) ?? text(record.response) ?? text(record.completion);
  if (instruction !== undefined && answer !== undefined) {
    const turns: Json[] = [];
    if (text(record.system)) turns.push({ role: "system", content: record.system });
    const input = text(record.input);
    turns.push({ role: "user", content: input ? `${instruction}\n\n${input}` : instruction });
    turns.push({ role: "assistant", content: answer });
    return normalizeConversation(turns, options);
  }
  const document = text(record.text);
  if (document) return { document };
  return reject("no known column");
}

/**
 * Reads the turns of a conversation. Roles: `human` and `user`, `gpt` and `assistant`, `system`; turns of any other
 * role are left out. The content is the first of `value` and `content` that is not empty; `thinking` is kept, which
 * templates such as Qwen3's call `reasoning_content`: both names are read, and both are given to the template.
 *
 * source: speculators v0.4.0.1, `data_generation/preprocessing.py` (`_normalize_conversation`), which knows `thinking`
 * alone; v0.7.0.1 has both
 */
export function normalizeConversation(turns: unknown, options: NormalizeOptions = {}): Normalized {
  const strict = options.strictUpstream ?? false;
  if (!Array.isArray(turns)) return reject("conversation is not a list");
  if (turns.length === 0) return reject("conversation is empty");
  const messages: Message[] = [], images: string[] = [];
  for (const [i, turn] of turns.entries()) {
    if (!isObject(turn)) return reject("turn is not an object");
    const hasFrom = strict ? "from" in turn : turn.from !== undefined && turn.from !== null;
    const role = roleOf(hasFrom ? turn.from : turn.role);
    if (role === undefined) continue;
    const raw = truthy(turn.value) ? turn.value : truthy(turn.content) ? turn.content : "";
    const parts = options.images && !strict && hasImage(raw) ? contentParts(raw) : undefined;
    if (parts) images.push(...parts.images);
    const content = strict ? raw : parts?.content ?? contentText(raw);
    if (content === undefined) {
      if (!hasImage(raw)) return reject("content is not text");
      return reject(options.images ? "an image without a place" : "content has images");
    }
    messages.push({ role, content, ...reasoningOf(turn, strict) });
    if (role === "assistant" && options.keepTurns !== undefined && i + 1 >= options.keepTurns) break;
  }
  if (messages.length === 0) return reject("no turn of a known role");
  return images.length === 0 ? { messages } : { messages, images };
}

function roleOf(name: unknown): "user" | "assistant" | "system" | undefined {
  switch (name) {
    case "human":
    case "user":
      return "user";
    case "gpt":
    case "assistant":
      return "assistant";
    case "system":
      return "system";
    default:
      return undefined;
  }
}

/** What the assistant thought before it answered. */
function reasoningOf(turn: Json, strict: boolean): Partial<Message> {
  if (strict) return truthy(turn.thinking) ? { thinking: turn.thinking } : {};
  const thought = truthy(turn.thinking) ? turn.thinking : turn.reasoning_content;
  return truthy(thought) ? { thinking: thought, reasoning_content: thought } : {};
}

/** Text of a content: as it is, or the text parts of OpenAI's list of parts joined. */
function contentText(content: unknown): string | undefined {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return undefined;
  let joined = "";
  for (const part of content) {
    if (typeof part === "string") joined += part;
    else if (isObject(part) && typeof part.text === "string") joined += part.text;
    else return undefined;
  }
  return joined;
}

/** Whether a part is a picture, as OpenAI or Hugging Face write it. */
function isImage(part: unknown): part is Json {
  const kinds: readonly unknown[] = ["image_url", "image", "input_image"];
  return isObject(part) && kinds.includes(part.type);
}

function hasImage(content: unknown): content is readonly unknown[] {
  return Array.isArray(content) && content.some(isImage);
}

/** Parts as templates take them, and where the pictures are; `undefined` where one has no place. */
function contentParts(
  parts: readonly unknown[],
): { readonly content: readonly Json[]; readonly images: readonly string[] } | undefined {
  const content: Json[] = [], images: string[] = [];
  for (const part of parts) {
    if (isImage(part)) {
      const { image_url: named, image, url, path } = part;
      const source = [isObject(named) ? named.url : named, image, url, path].find((found) => text(found));
      if (source === undefined) return undefined;
      images.push(source as string);
      content.push({ type: "image" });
      continue;
    }
    const words = contentText([part]);
    if (words === undefined) return undefined;
    content.push({ type: "text", text: words });
  }
  return { content, images };
}

/** What Python takes for true. */
function truthy(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isObject(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function reject(reason: string): Normalized {
  return { rejected: { reason } };
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
