/** Which turns of a record are written anew. */
import { normalizeRecord } from "../data/normalize.ts";
import type { Message } from "../text/chat_template.ts";

/** Turns of a conversation in order: one that is kept, or the place of an answer. */
export type Turn = Message | "answer";

type Json = Readonly<Record<string, unknown>>;

/**
 * The turns of a record: what system and user say is kept, an answer is written wherever the assistant spoke after a
 * user, and behind the last user. What the assistant says before any user is left out: no verifier would write it.
 *
 * @returns the turns, or why there are none
 */
export function turnsOf(record: Json): readonly Turn[] | string {
  const normalized = normalizeRecord(record);
  const messages = "messages" in normalized ? normalized.messages : promptOf(record);
  if (messages === null) {
    return "rejected" in normalized ? normalized.rejected.reason : "no conversation";
  }
  const turns: Turn[] = [];
  let asked = false;
  for (const { role, content } of messages) {
    if (role !== "assistant") {
      turns.push({ role, content });
      asked ||= role === "user";
    } else if (asked) {
      turns.push("answer");
      asked = false;
    }
  }
  if (asked) turns.push("answer");
  return turns.includes("answer") ? turns : "no user turn";
}

/** A record that is a prompt alone. */
function promptOf(record: Json): Message[] | null {
  const prompt = record.prompt ?? record.instruction;
  return typeof prompt === "string" && prompt !== "" ? [{ role: "user", content: prompt }] : null;
}

/** Names of records: their own, else by their place in the data; one that comes again gets a number. */
export class RecordIds {
  readonly #seen = new Map<string, number>();

  /** The name of a record, the `index`-th of all. */
  of(record: Json, index: number): string {
    const own = [record.id, record.uuid, record.prompt_id].find((id) =>
      (typeof id === "string" && id !== "") || typeof id === "number"
    );
    const id = own === undefined ? `sample_${index}` : String(own), before = this.#seen.get(id) ?? 0;
    this.#seen.set(id, before + 1);
    return before === 0 ? id : `${id}#${before + 1}`;
  }
}
