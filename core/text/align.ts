/**
 * Where tokens lie in their text. The tokenizer library gives token strings only; their places follow from walking
 * the text beside them.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import type { NormalForm } from "./normalize.ts";
import { normalizeAligned } from "./normalize.ts";

/** What of a `tokenizer.json` decides where tokens lie. */
export interface AlignRules {
  /** Path of the file, for messages. */
  readonly path: string;
  /** Tokens matched in the text as they are, by content: whether blanks beside them are theirs. */
  readonly added: ReadonlyMap<string, { readonly lstrip: boolean; readonly rstrip: boolean }>;
  /** `bytes`: byte-level BPE; `pieces`: SentencePiece's `▁`. */
  readonly kind: "bytes" | "pieces";
  /** Normalisation of the text between added tokens. */
  readonly form: NormalForm | null;
  /** A blank is put before each stretch of text that does not begin with one. */
  readonly prefixSpace: boolean;
  /** Blanks at a token's edges do not count to its place (a post-processor of the file). */
  readonly trim: boolean;
}

/**
 * Places of tokens: `[start, end)` pairs in UTF-16 units of the text, as the Rust `tokenizers` gives them in code
 * points. All byte pieces of one character have that character's place.
 *
 * @param tokens token strings, in order, special tokens that are not in the text left out
 * @throws {FormatError} when the tokens do not spell the text
 */
export function alignTokens(text: string, tokens: readonly string[], rules: AlignRules): Int32Array {
  const offsets = new Int32Array(2 * tokens.length);
  let at = 0;
  for (let t = 0; t < tokens.length;) {
    const added = rules.added.get(tokens[t]!);
    if (added !== undefined) {
      at = placeAdded(text, tokens[t]!, at, added, offsets, t++);
      continue;
    }
    let end = t;
    while (end < tokens.length && !rules.added.has(tokens[end]!)) end++;
    const to = end < tokens.length ? sectionEnd(text, tokens[end]!, at, rules) : text.length;
    const section = { text, from: at, to, tokens: tokens.slice(t, end) };
    if (rules.kind === "bytes") placeBytes(section, rules, offsets, t);
    else placePieces(section, rules, offsets, t);
    at = to;
    t = end;
  }
  if (rules.trim) trimBlanks(text, tokens, rules, offsets);
  return offsets;
}

/** Turns places in UTF-16 units into places in code points, in a new array. */
export function toCodePoints(text: string, offsets: Int32Array): Int32Array {
  const points = new Int32Array(text.length + 1);
  for (let i = 0, n = 0; i <= text.length; i++) {
    points[i] = n;
    const code = text.charCodeAt(i);
    const next = text.charCodeAt(i + 1);
    // The second half of a pair is not counted.
    if (!(code >= 0xd800 && code < 0xdc00 && next >= 0xdc00 && next < 0xe000)) n++;
  }
  return offsets.map((offset) => points[offset]!);
}

interface Section {
  readonly text: string;
  readonly from: number;
  readonly to: number;
  readonly tokens: readonly string[];
}

function placeAdded(
  text: string,
  content: string,
  at: number,
  added: { readonly lstrip: boolean; readonly rstrip: boolean },
  offsets: Int32Array,
  token: number,
): number {
  const found = text.indexOf(content, at);
  const start = found < 0 ? at : found;
  let end = Math.min(text.length, start + content.length);
  if (added.rstrip) end += text.length - end - text.slice(end).trimStart().length;
  offsets[2 * token] = added.lstrip ? at : start;
  offsets[2 * token + 1] = end;
  return end;
}

function sectionEnd(text: string, content: string, at: number, rules: AlignRules): number {
  const found = text.indexOf(content, at);
  if (found < 0) throw misfit(rules, `expected "${content}" from character ${at} on, received none`);
  return rules.added.get(content)!.lstrip ? at + text.slice(at, found).trimEnd().length : found;
}

function placeBytes(section: Section, rules: AlignRules, offsets: Int32Array, first: number): void {
  const { from, to, text, tokens } = section;
  const { codes, ends, starts } = normalizeAligned(text, from, to, rules.form);
  if (rules.prefixSpace && codes.length > 0 && !/^\s/.test(String.fromCodePoint(codes[0]!))) {
    codes.unshift(0x20);
    starts.unshift(starts[0]!);
    ends.unshift(ends[0]!);
  }
  let character = 0;
  let left = utf8Length(codes[0] ?? 0);
  for (const [i, token] of tokens.entries()) {
    offsets[2 * (first + i)] = starts[character] ?? to;
    let count = token.length;
    let last = character;
    while (count > 0) {
      if (character >= codes.length) {
        throw misfit(rules, `expected ${to - from} characters, received more tokens: "${token}"`);
      }
      last = character;
      const step = Math.min(count, left);
      count -= step;
      left -= step;
      if (left === 0) left = utf8Length(codes[++character] ?? 0);
    }
    offsets[2 * (first + i) + 1] = ends[last] ?? to;
  }
  if (character !== codes.length) {
    throw misfit(rules, `expected tokens for ${codes.length} characters, received them for ${character}`);
  }
}

/** SentencePiece: `▁` is a blank, one may stand before the text, unknown characters are bytes `<0xE2>`. */
function placePieces(section: Section, rules: AlignRules, offsets: Int32Array, first: number): void {
  const { from, to, text, tokens } = section;
  const { codes, ends, starts } = normalizeAligned(text, from, to, rules.form);
  let at = 0;
  let left = 0;
  for (const [i, token] of tokens.entries()) {
    const begin = at;
    const byte = /^<0x[0-9A-F]{2}>$/.test(token);
    if (byte) {
      if (left === 0) left = utf8Length(codes[at] ?? 0);
      if (--left === 0) at++;
    } else {
      for (const character of token) {
        const code = character === "▁" ? 0x20 : character.codePointAt(0)!;
        // The blank put before the text, or an added one, has no place of its own.
        if (code === 0x20 && codes[at] !== 0x20 && at === begin) continue;
        if (codes[at] !== code && codes[at] !== character.codePointAt(0)) {
          throw misfit(rules, `expected the text to go on with "${token}" at character ${starts[at] ?? to}`);
        }
        at++;
      }
    }
    const last = byte ? begin : Math.max(begin, at - 1);
    offsets[2 * (first + i)] = starts[begin] ?? to;
    offsets[2 * (first + i) + 1] = at === begin && !byte ? starts[begin] ?? to : ends[last] ?? to;
  }
}

function trimBlanks(text: string, tokens: readonly string[], rules: AlignRules, offsets: Int32Array): void {
  for (const [t, token] of tokens.entries()) {
    if (rules.added.has(token)) continue;
    let start = offsets[2 * t]!;
    let end = offsets[2 * t + 1]!;
    while (start < end && /\s/.test(text[start]!)) start++;
    while (end > start && /\s/.test(text[end - 1]!)) end--;
    offsets[2 * t] = start;
    offsets[2 * t + 1] = end;
  }
}

function utf8Length(code: number): number {
  return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

function misfit(rules: AlignRules, message: string): FormatError {
  return new FormatError(rules.path, `cannot place tokens in the text: ${message}`, {
    hint: "The tokenizer normalises text in a way that is not known here; tokens without places still work",
  });
}
