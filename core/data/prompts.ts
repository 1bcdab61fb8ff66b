/**
 * Prompts for measuring: the first user turn of each conversation.
 *
 * @module
 */
import type { Message } from "../text/chat_template.ts";
import type { TextModel } from "../text/model.ts";
import { normalizeRecord } from "./normalize.ts";
import type { Rejections } from "./rejections.ts";
import { openRecords } from "./source.ts";

/** What prompts are read. */
export interface PromptOptions {
  /** Tokenizer and template. */
  readonly text: TextModel;
  /** Most prompts; all unless given. */
  readonly limit?: number;
  /** Told which records are left out. */
  readonly rejections?: Rejections;
}

/**
 * Reads prompts of data sets in the order of their records: the first user turn, rendered with the beginning of an
 * answer. Records without one are left out.
 *
 * @throws {NotFoundError} when a file is not there
 */
export async function readPrompts(paths: readonly string[], options: PromptOptions): Promise<Int32Array[]> {
  const { limit = Infinity, text } = options;
  const prompts: Int32Array[] = [];
  for (const path of paths) {
    using source = await openRecords(path);
    for (let i = 0; i < source.count && prompts.length < limit; i++) {
      const found = await source.read(i);
      const turn = "rejected" in found ? found.rejected : firstTurn(found.record);
      if (typeof turn === "string") {
        options.rejections?.add(turn, { path: found.path ?? source.path }, found.line);
      } else prompts.push(text.encode(text.render([turn], { addGenerationPrompt: true })).ids);
    }
  }
  return prompts;
}

/** The first user turn of a record, or why there is none. */
function firstTurn(record: Readonly<Record<string, unknown>>): Message | string {
  const normalized = normalizeRecord(record);
  if ("rejected" in normalized) return normalized.rejected.reason;
  if ("document" in normalized) return "no conversation";
  return normalized.messages.find((message) => message.role === "user") ?? "no user turn";
}
