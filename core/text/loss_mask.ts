/**
 * Which tokens of a conversation are trained on: those the assistant wrote.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { Message } from "./chat_template.ts";
import type { TextModel } from "./model.ts";
import { detectAssistantPattern } from "./pattern.ts";
import { groupCount, pythonRegex } from "./python_regex.ts";

/** How the assistant's part is found. */
export type MaskRule =
  | {
    /** The template's own `{% generation %}` blocks. */
    readonly kind: "own";
  }
  | {
    /** A regular expression whose group 1 is the part. */
    readonly kind: "pattern";
    /** Who gave it. */
    readonly source: "given" | "detected";
    /** The expression in Python's syntax. */
    readonly pattern: string;
    /** The same in JavaScript's. */
    readonly regex: RegExp;
  };

/** How a rule is chosen. */
export interface MaskRuleOptions {
  /** A regular expression in Python's syntax, group 1 being the assistant's part; goes before all else. */
  readonly assistantPattern?: string;
  /** Do as upstream does where that trains fewer tokens than meant; no, unless given. */
  readonly strictUpstream?: boolean;
}

/** A conversation ready for capture. */
export interface MaskedText {
  /** What the template rendered. */
  readonly text: string;
  /** i32 `[T]`. */
  readonly ids: Int32Array;
  /** `[T]`: 1 where the token is trained on. */
  readonly lossMask: Uint8Array;
  /** Place of each token, pairs in UTF-16 units of the text. */
  readonly offsets: Int32Array;
  /** The assistant's parts, in UTF-16 units of the text. */
  readonly spans: readonly (readonly [number, number])[];
}

/** How {@linkcode maskConversation} works. */
export interface MaskOptions {
  /** Most tokens; cut on the right. */
  readonly maxLength?: number;
  /** Do as upstream does where it is wrong; no, unless given. */
  readonly strictUpstream?: boolean;
}

/**
 * Chooses how the assistant's part is found: a given pattern, else the template's own blocks, else a pattern found
 * by looking at what the template renders.
 *
 * @throws {ConfigError} when the pattern is no regular expression or lacks a group, or none can be found
 */
export function chooseMaskRule(model: TextModel, options: MaskRuleOptions = {}): MaskRule {
  const strict = options.strictUpstream ?? false;
  const given = options.assistantPattern;
  if (given !== undefined) {
    const regex = pythonRegex(given, "assistant_pattern");
    if (groupCount(regex) === 0 && !strict) throw groupMissing(given);
    return { kind: "pattern", source: "given", pattern: given, regex };
  }
  if (hasOwnMask(model, strict)) return { kind: "own" };
  const pattern = detectAssistantPattern(model.template, { strictUpstream: strict });
  return { kind: "pattern", source: "detected", pattern, regex: pythonRegex(pattern, "chat_template") };
}

/**
 * Renders, encodes and masks a conversation. A token is trained on when it overlaps the assistant's part by at least
 * one character; the tag that ends a turn is no part of it.
 *
 * Upstream ignores `maxLength` for templates with blocks of their own; here it holds unless `strictUpstream`.
 *
 * @throws {ConfigError} when the template refuses the conversation
 * @throws {FormatError} when tokens cannot be placed in the text
 */
export function maskConversation(
  model: TextModel,
  messages: readonly Message[],
  options: MaskOptions & { readonly rule: MaskRule },
): MaskedText {
  const { rule, strictUpstream = false } = options;
  const own = rule.kind === "own";
  const rendered = own
    ? renderOwn(model, messages, strictUpstream)
    : { text: model.template.render(messages), spans: undefined };
  const { text } = rendered;
  const spans = rendered.spans ?? matchSpans(text, rule as Extract<MaskRule, { kind: "pattern" }>);
  const encoding = model.tokenizer.encode(text);
  const all = encoding.ids.length;
  const length = own && strictUpstream ? all : Math.min(all, options.maxLength ?? all);
  const ids = encoding.ids.slice(0, length);
  const offsets = encoding.offsets.slice(0, 2 * length);
  const lossMask = own ? maskOwn(encoding.offsets, spans).slice(0, length) : maskOverlap(offsets, spans);
  return { text, ids, lossMask, offsets, spans };
}

/** Whether a template's own blocks say something. */
function hasOwnMask(model: TextModel, strict: boolean): boolean {
  if (!model.template.marksGeneration) {
    // Upstream renders this chat in any case, and a template that refuses it ends its run.
    if (strict) model.template.render([{ role: "assistant", content: "test" }]);
    return false;
  }
  const answer = { role: "assistant", content: "test" };
  if (strict) {
    const { spans, text } = renderOwn(model, [answer], true);
    return maskOwn(model.tokenizer.encode(text).offsets, spans).includes(1);
  }
  return renderOwn(model, [{ role: "user", content: "test" }, answer], false).spans.some(([a, b]) => b > a);
}

function renderOwn(model: TextModel, messages: readonly Message[], strict: boolean) {
  const { text, spans } = model.template.renderSpans(messages);
  // Upstream's tracker wakes up with the first output: a block that is the very first one is not seen.
  return { text, spans: strict && spans[0]?.[0] === 0 ? spans.slice(1) : spans };
}

function matchSpans(text: string, rule: Extract<MaskRule, { kind: "pattern" }>): [number, number][] {
  const regex = new RegExp(rule.regex.source, rule.regex.flags + "d");
  const spans: [number, number][] = [];
  for (const match of text.matchAll(regex)) {
    if (match.length < 2) throw groupMissing(rule.pattern);
    const span = match.indices![1];
    if (span !== undefined) spans.push([span[0], span[1]]);
  }
  return spans;
}

function maskOverlap(offsets: Int32Array, spans: readonly (readonly [number, number])[]): Uint8Array {
  const mask = new Uint8Array(offsets.length / 2);
  let first = 0;
  for (const [start, end] of spans) {
    // Spans come in order, and so do tokens: no token before this one overlaps a later span.
    while (first < mask.length && offsets[2 * first + 1]! <= start) first++;
    for (let t = first; t < mask.length && offsets[2 * t]! < end; t++) {
      if (offsets[2 * t + 1]! > start) mask[t] = 1;
    }
  }
  return mask;
}

/** From the token at a block's first character to the one at its last, as Hugging Face marks them. */
function maskOwn(offsets: Int32Array, spans: readonly (readonly [number, number])[]): Uint8Array {
  const mask = new Uint8Array(offsets.length / 2);
  for (const [start, end] of spans) {
    const first = tokenAt(offsets, start);
    if (first < 0) break;
    const last = tokenAt(offsets, end - 1);
    mask.fill(1, first, last > 0 ? last + 1 : mask.length);
  }
  return mask;
}

/** The first token that holds a character; −1 when none does. */
function tokenAt(offsets: Int32Array, place: number): number {
  for (let t = 0; t < offsets.length / 2; t++) {
    if (offsets[2 * t]! <= place && place < offsets[2 * t + 1]!) return t;
  }
  return -1;
}

function groupMissing(pattern: string): ConfigError {
  return new ConfigError("assistant_pattern", `expected a group in "${pattern}", received none`, {
    hint: "Put the assistant's part in parentheses, as in <\\|im_start\\|>assistant\\n(.*?)<\\|im_end\\|>",
  });
}
