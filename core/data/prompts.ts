/**
 * Prompts for measuring: the first user turn of each conversation.
 *
 * @module
 */
import type { TextModel } from "../text/model.ts";
import { normalizeRecord } from "./normalize.ts";
import { openRecords } from "./source.ts";

/** What prompts are read. */
export interface PromptOptions {
  /** Tokenizer and template. */
  readonly text: TextModel;
  /** Most prompts; all unless given. */
  readonly limit?: number;
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
      if ("rejected" in found) continue;
      const normalized = normalizeRecord(found.record);
      if (!("messages" in normalized)) continue;
      const turn = normalized.messages.find((message) => message.role === "user");
      if (turn === undefined) continue;
      prompts.push(text.encode(text.render([turn], { addGenerationPrompt: true })).ids);
    }
  }
  return prompts;
}
