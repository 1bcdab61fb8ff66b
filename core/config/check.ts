/**
 * Checks a config against a plugin's schema and says what is wrong with it in the project's words.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import type { StandardResult, StandardSchema } from "../plugin.ts";
import { spelledLike } from "./python_json.ts";

type Issue = NonNullable<StandardResult<unknown>["issues"]>[number];

/**
 * The config as a schema gives it, its numbers still spelled as in the file it came from.
 *
 * @param where path of the file, for messages
 * @throws {ConfigError} naming the first field that is wrong, what is expected there and what was found
 */
export async function checkConfig<T>(
  schema: StandardSchema<T>,
  config: unknown,
  options: { readonly where: string },
): Promise<T> {
  const result = await schema["~standard"].validate(config);
  if (result.issues === undefined) return spelledLike(result.value, config);
  const [first, ...others] = result.issues;
  if (first === undefined) {
    throw new ConfigError(options.where, "expected another config, received no reason");
  }
  const path = keysOf(first);
  const place = path.length === 0 ? options.where : `${options.where}: ${fieldName(path)}`;
  const hint = typingMistake(config, path) ?? alsoWrong(others);
  throw new ConfigError(
    place,
    sentence(first.message, lookUp(config, path)),
    hint === undefined ? {} : { hint },
  );
}

/** `expected …, received …` from a schema library's own message. */
function sentence(message: string, value: unknown): string {
  const text = message.replace(/^[A-Z][\w ]*: (?=expected )/, "").replace(/\.$/, "");
  const [, expected] = /^expected (.*?)(?:, received .*)?$/s.exec(text) ?? [];
  if (expected === undefined) return `expected a value that fits (${text}), received ${describe(value)}`;
  return `expected ${expected}, received ${describe(value)}`;
}

function keysOf(issue: Issue): PropertyKey[] {
  return (issue.path ?? []).map((part) => typeof part === "object" ? part.key : part);
}

/** `proposal_methods[0].speculative_tokens`. */
function fieldName(path: readonly PropertyKey[]): string {
  return path.map((key, i) => typeof key === "number" ? `[${key}]` : (i === 0 ? "" : ".") + String(key)).join(
    "",
  );
}

function lookUp(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined,
    value,
  );
}

/** A field that is missing may be there under a name with a letter wrong. */
function typingMistake(config: unknown, path: readonly PropertyKey[]): string | undefined {
  const holder = lookUp(config, path.slice(0, -1));
  const name = path.at(-1);
  if (typeof name !== "string" || typeof holder !== "object" || holder === null || name in holder) {
    return undefined;
  }
  const near = nearest(name, Object.keys(holder));
  return near === undefined ? undefined : `The file has "${near}" there: was "${name}" meant?`;
}

function alsoWrong(issues: readonly Issue[]): string | undefined {
  if (issues.length === 0) return undefined;
  const names = [...new Set(issues.map((issue) => fieldName(keysOf(issue))))];
  return `Wrong too: ${names.slice(0, 5).join(", ")}${
    names.length > 5 ? ` and ${names.length - 5} more` : ""
  }`;
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
