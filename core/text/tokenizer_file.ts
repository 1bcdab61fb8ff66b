/**
 * What this project reads of a `tokenizer.json` itself: the library encodes, but does not say where tokens lie.
 *
 * @module
 */
import { FormatError } from "../errors.ts";
import type { AlignRules } from "./align.ts";
import type { NormalForm } from "./normalize.ts";

/** Most entries a vocabulary may have. */
const MAX_VOCABULARY = 16_777_216;

type Json = Readonly<Record<string, unknown>>;

/** What was found. */
export interface TokenizerFile {
  /** How to place tokens; `null` when it is not known. */
  readonly rules: AlignRules | null;
  /** Why `rules` is `null`. */
  readonly problem: string;
  /** Ids of special tokens. */
  readonly special: ReadonlySet<number>;
  /** Added tokens by id. */
  readonly added: ReadonlyMap<number, string>;
  /** One more than the largest id. */
  readonly vocabSize: number;
}

/**
 * Reads the parts of a `tokenizer.json` that decide where tokens lie.
 *
 * @throws {FormatError} when it is not a tokenizer
 */
export function readAlignRules(file: unknown, path: string): TokenizerFile {
  if (!isObject(file) || !isObject(file.model)) {
    throw new FormatError(path, 'expected a tokenizer with a field "model", received something else');
  }
  const special = new Set<number>();
  const added = new Map<number, string>();
  const contents = new Map<string, { lstrip: boolean; rstrip: boolean }>();
  let largest = largestId(file.model.vocab, path);
  for (const token of Array.isArray(file.added_tokens) ? file.added_tokens as unknown[] : []) {
    if (!isObject(token) || typeof token.content !== "string" || !isId(token.id)) {
      throw new FormatError(path, 'expected "added_tokens" with "id" and "content", received something else');
    }
    added.set(token.id, token.content);
    contents.set(token.content, { lstrip: token.lstrip === true, rstrip: token.rstrip === true });
    if (token.special === true) special.add(token.id);
    largest = Math.max(largest, token.id);
  }

  const normalizers = parts(file.normalizer, "normalizers");
  const preTokenizers = parts(file.pre_tokenizer, "pretokenizers");
  const decoders = parts(file.decoder, "decoders");
  const has = (list: readonly Json[], type: string) => list.some((part) => part.type === type);
  const bytes = has(preTokenizers, "ByteLevel") || has(decoders, "ByteLevel");
  const pieces = has(preTokenizers, "Metaspace") || has(decoders, "Metaspace") ||
    has(decoders, "ByteFallback") || normalizers.some(isMetaspace);

  let form: NormalForm | null = null;
  let problem = bytes || pieces ? "" : "it is neither byte-level nor of SentencePiece's kind";
  for (const part of normalizers) {
    if (isForm(part.type)) form = part.type;
    else if (!isMetaspace(part)) problem = `its normalizer "${part.type}" is not known`;
  }
  const trimmer = parts(file.post_processor, "processors").find((part) => part.type === "ByteLevel");
  const rules: AlignRules | null = problem !== "" ? null : {
    path,
    added: contents,
    kind: bytes ? "bytes" : "pieces",
    form,
    prefixSpace: preTokenizers.some((part) => part.type === "ByteLevel" && part.add_prefix_space === true),
    trim: trimmer?.trim_offsets === true,
  };
  return { rules, problem, special, added, vocabSize: largest + 1 };
}

/** A part that may be a sequence of parts. */
function parts(value: unknown, member: string): Json[] {
  if (!isObject(value)) return [];
  const inner = value[member];
  return Array.isArray(inner) ? inner.flatMap((part) => parts(part, member)) : [value];
}

/** A normalizer that only writes blanks as `▁`. */
function isMetaspace(part: Json): boolean {
  if (part.type === "Prepend") return part.prepend === "▁";
  return part.type === "Replace" && part.content === "▁";
}

function isForm(type: unknown): type is NormalForm {
  return type === "NFC" || type === "NFD" || type === "NFKC" || type === "NFKD";
}

function largestId(vocab: unknown, path: string): number {
  let largest = -1;
  if (Array.isArray(vocab)) largest = vocab.length - 1;
  else if (isObject(vocab)) {
    for (const token in vocab) {
      const id = vocab[token];
      if (!isId(id)) throw new FormatError(path, `expected an id for "${token}", received ${id}`);
      if (id > largest) largest = id;
    }
  } else throw new FormatError(path, 'expected "model.vocab", received none');
  return largest;
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < MAX_VOCABULARY;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
