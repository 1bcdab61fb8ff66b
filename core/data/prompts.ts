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

/** What turns are read. */
export interface TurnOptions {
  /** Most prompts; all unless given. */
  readonly limit?: number;
  /** Told which records are left out. */
  readonly rejections?: Rejections;
}

/** What prompts are read. */
export interface PromptOptions extends TurnOptions {
  /** Tokenizer and template. */
  readonly text: TextModel;
}

/**
 * Reads prompts of data sets in the order of their records: the first user turn, rendered with the beginning of an
 * answer. Records without one are left out.
 *
 * @throws {NotFoundError} when a file is not there
 */
export async function readPrompts(paths: readonly string[], options: PromptOptions): Promise<Int32Array[]> {
  const { text } = options, turns = await readTurns(paths, options);
  return turns.map((turn) => text.encode(text.render([turn], { addGenerationPrompt: true })).ids);
}

/**
 * Reads the first user turns of data sets, in the order of their records.
 *
 * @throws {NotFoundError} when a file is not there
 */
export async function readTurns(paths: readonly string[], options: TurnOptions = {}): Promise<Message[]> {
  const { limit = Infinity } = options, turns: Message[] = [];
  for (const path of paths) {
    using source = await openRecords(path);
    for (let i = 0; i < source.count && turns.length < limit; i++) {
      const found = await source.read(i);
      const turn = "rejected" in found ? found.rejected : firstTurn(found.record);
      if (typeof turn !== "string") turns.push(turn);
      else options.rejections?.add(turn, { path: found.path ?? source.path }, found.line);
    }
  }
  return turns;
}

/** The first user turn of a record, or why there is none. */
function firstTurn(record: Readonly<Record<string, unknown>>): Message | string {
  const normalized = normalizeRecord(record);
  if ("rejected" in normalized) return bareTurn(record) ?? normalized.rejected.reason;
  if ("document" in normalized) return "no conversation";
  return normalized.messages.find((message) => message.role === "user") ?? "no user turn";
}

/** Benchmarks hold questions without answers: `prompt`, or the `turns` of SPEED-Bench and MT-Bench. */
function bareTurn({ prompt, turns }: Readonly<Record<string, unknown>>): Message | null {
  const content = typeof prompt === "string" ? prompt : Array.isArray(turns) ? turns[0] : undefined;
  return typeof content === "string" && content !== "" ? { role: "user", content } : null;
}
