/**
 * Checks that a value is a plugin, and that what the plugin's code gives later has the members it must have: a wrong
 * one is refused where it comes in, by name, not by a `TypeError` in the middle of a run.
 *
 * @module
 */
import { PluginError, SpeculatorsError } from "./errors.ts";
import { API_VERSION, type Plugin, type PluginKind } from "./plugin.ts";

/** The kinds of plugins, in the order in which they are listed. */
export const PLUGIN_KINDS: readonly PluginKind[] = ["draft", "verifier", "engine", "logger", "loss"];

type Rule = "function" | "boolean" | "string" | "strings" | "object";

/** Members a manifest must have, besides those of every plugin. */
const MEMBERS: Readonly<Record<PluginKind, Readonly<Record<string, Rule>>>> = {
  draft: { trainable: "boolean", load: "function" },
  verifier: { architectures: "strings", matches: "function", load: "function" },
  engine: { capabilities: "object", open: "function" },
  logger: { open: "function" },
  loss: { load: "function" },
};

/** Which member brings the plugin's code in, and what that code must have. */
const CODE: Readonly<Record<PluginKind, readonly [member: string, rules: Readonly<Record<string, Rule>>]>> = {
  draft: ["load", {
    schema: "object",
    configure: "function",
    needs: "function",
    tensors: "function",
    initialise: "function",
    proposer: "function",
  }],
  verifier: ["load", { info: "function", tensors: "function", roles: "function", model: "function" }],
  engine: ["open", { info: "object", capture: "function", generate: "function" }],
  logger: ["open", { log: "function", close: "function" }],
  loss: ["load", { rows: "object" }],
};

/**
 * Gives a value back as the plugin it is, its `load` or `open` checked too: what that throws becomes a
 * {@linkcode PluginError}, and what it gives must have every member.
 *
 * @param value default export of a module
 * @param source where it came from, for messages: a name, path or URL
 * @throws {PluginError} naming every member that is missing or wrong
 */
export function checkPlugin(value: unknown, source: string): Plugin {
  if (!isObject(value)) {
    throw new PluginError(source, `expected an object, received ${describe(value)}`, {
      hint: "Export the plugin as the default export of its module",
    });
  }
  if (value.apiVersion !== API_VERSION) {
    throw new PluginError(
      source,
      `expected apiVersion ${API_VERSION}, received ${describe(value.apiVersion)}`,
      {
        hint: "Take a version of the plugin that was written for this version of the project",
      },
    );
  }
  const kind = PLUGIN_KINDS.find((known) => known === value.kind);
  if (kind === undefined) {
    throw new PluginError(
      source,
      `expected kind to be one of ${PLUGIN_KINDS.join(", ")}, received ${describe(value.kind)}`,
    );
  }
  checkMembers(value, { name: "string", summary: "string", ...MEMBERS[kind] }, {
    source,
    of: `${kind === "engine" ? "an" : "a"} ${kind} plugin`,
  });
  if (!/^[a-z][a-z0-9_]*$/.test(value.name as string)) {
    throw new PluginError(source, `expected a name in snake_case, received ${describe(value.name)}`);
  }
  return guard(value, kind, source) as unknown as Plugin;
}

/** A copy whose code-bringing member is watched. */
function guard(plugin: Record<string, unknown>, kind: PluginKind, source: string): Record<string, unknown> {
  const [member, always] = CODE[kind];
  const rules = plugin.trainable === true ? { ...always, objective: "function" as const } : always;
  async function watched(...args: unknown[]): Promise<unknown> {
    let result: unknown;
    try {
      result = await (plugin[member] as (...args: unknown[]) => unknown)(...args);
    } catch (cause) {
      // A plugin that uses the project's own errors has said it well already.
      if (cause instanceof SpeculatorsError) throw cause;
      throw new PluginError(source, `expected ${member}() to succeed, received ${thrown(cause)}`, { cause });
    }
    const of = `what ${member}() gives`;
    if (!isObject(result)) {
      throw new PluginError(source, `expected ${of} to be an object, received ${describe(result)}`);
    }
    checkMembers(result, rules, { source, of });
    return result;
  }
  return { ...plugin, [member]: watched };
}

function checkMembers(
  value: Record<string, unknown>,
  rules: Readonly<Record<string, Rule>>,
  where: { readonly source: string; readonly of: string },
): void {
  const wrong = Object.entries(rules).filter(([member, rule]) => !holds(value[member], rule));
  if (wrong.length === 0) return;
  const found = wrong.map(([member, rule]) =>
    `"${member}", ${WORDS[rule]}, received ${describe(value[member])}`
  );
  throw new PluginError(where.source, `expected ${where.of} to have ${found.join("; and ")}`);
}

const WORDS: Readonly<Record<Rule, string>> = {
  function: "a function",
  boolean: "true or false",
  string: "a text",
  strings: "a list of texts",
  object: "an object",
};

function holds(value: unknown, rule: Rule): boolean {
  switch (rule) {
    case "function":
      return typeof value === "function";
    case "boolean":
      return typeof value === "boolean";
    case "string":
      return typeof value === "string" && value !== "";
    case "strings":
      return Array.isArray(value) && value.every((item) => typeof item === "string");
    case "object":
      // Schemas may be functions with members: arktype's are.
      return isObject(value) || typeof value === "function";
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null || typeof value === "boolean" || typeof value === "number") return String(value);
  if (typeof value === "string") {
    return JSON.stringify(value.length > 60 ? value.slice(0, 57) + "..." : value);
  }
  return Array.isArray(value) ? "a list" : `a value of type ${typeof value}`;
}

function thrown(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}
