/**
 * Records as upstream's loader gives them: it holds a file in one table, so every turn has all keys of the file.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import type { RecordResult, RecordSource } from "./source.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * A data set with the keys of its turns made alike, missing ones null; for `--strict-upstream` only. It reads the
 * whole file first, and refuses it where upstream does: a broken line, or values of unlike types under one key.
 *
 * @throws {FormatError} when upstream's loader would not take the file
 */
export async function asOneTable(source: RecordSource): Promise<RecordSource> {
  const kinds = new Map<string, string>();
  const keys = new Set<string>();
  for (let i = 0; i < source.count; i++) {
    const found = await source.read(i);
    if ("rejected" in found) {
      throw new FormatError(
        source.path,
        `expected a record in line ${found.line}, received one that is ${found.rejected}`,
      );
    }
    for (const [column, value] of Object.entries(found.record)) agree(kinds, column, value, source, found);
    for (const turn of turnsOf(found.record)) {
      for (const [key, value] of Object.entries(turn)) {
        keys.add(key);
        agree(kinds, `conversations[].${key}`, value, source, found);
      }
    }
  }
  const empty = Object.fromEntries([...keys].map((key) => [key, null]));
  return {
    path: source.path,
    count: source.count,
    async read(index) {
      const found = await source.read(index);
      if ("rejected" in found || !Array.isArray(found.record.conversations)) return found;
      const turns = found.record.conversations.map((turn) => isObject(turn) ? { ...empty, ...turn } : turn);
      return { line: found.line, record: { ...found.record, conversations: turns } };
    },
    [Symbol.dispose]: () => source[Symbol.dispose](),
  };
}

function agree(
  kinds: Map<string, string>,
  column: string,
  value: unknown,
  source: RecordSource,
  found: RecordResult,
): void {
  if (value === null || value === undefined) return;
  const kind = Array.isArray(value) ? "list" : typeof value;
  const before = kinds.get(column) ?? kind;
  kinds.set(column, before);
  if (before === kind) return;
  throw new FormatError(
    source.path,
    `expected "${column}" to be a ${before} in line ${found.line}, as before, received a ${kind}`,
  );
}

function turnsOf(record: Json): Json[] {
  return Array.isArray(record.conversations) ? record.conversations.filter(isObject) : [];
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
