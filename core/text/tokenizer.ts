/**
 * Text to token ids and places, and back.
 *
 * @module
 */
import { ConfigError, FormatError } from "../errors.ts";
import { Tokenizer as Library } from "./_tokenizers.ts";
import type { AlignRules } from "./align.ts";
import { alignTokens } from "./align.ts";
import { byteAlphabet, tokenBytes } from "./byte_level.ts";
import { readAlignRules } from "./tokenizer_file.ts";

/** A text as tokens. */
export interface Encoding {
  /** Token ids. */
  readonly ids: Int32Array;
  /**
   * Where each token lies: `[start, end)` pairs in UTF-16 units of the text, worked out when first asked for. All
   * byte pieces of a character have that character's place.
   *
   * @throws {FormatError} when the tokenizer changes text in a way that cannot be followed
   */
  readonly offsets: Int32Array;
}

/** How {@linkcode TextTokenizer.encode} works. */
export interface EncodeOptions {
  /** Put the special tokens of the tokenizer's template around; no, unless given: a chat template has its own. */
  readonly addSpecialTokens?: boolean;
}

/** How {@linkcode TextTokenizer.decode} works. */
export interface DecodeOptions {
  /** Leave special tokens out; no, unless given. */
  readonly skipSpecialTokens?: boolean;
}

/** Parts that the library wants to see even where a file has none. */
const PARTS = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };

/** A tokenizer, as a `tokenizer.json` describes it. */
export class TextTokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  readonly #library: Library;
  readonly #rules: AlignRules | null;
  readonly #problem: string;
  readonly #path: string;
  readonly #special: ReadonlySet<number>;
  readonly #added: ReadonlyMap<number, string>;
  readonly #alphabet: Int16Array = byteAlphabet();
  readonly #bytes = new Map<number, Uint8Array>();
  readonly #utf8 = new TextEncoder();

  /**
   * Builds a tokenizer.
   *
   * @param file content of `tokenizer.json`
   * @param config content of `tokenizer_config.json`, or `{}`
   * @param path of the former, for messages
   * @throws {FormatError} when it is not a tokenizer
   */
  constructor(file: unknown, config: Readonly<Record<string, unknown>>, path: string) {
    const read = readAlignRules(file, path);
    this.#rules = read.rules;
    this.#problem = read.problem;
    this.#special = read.special;
    this.#added = read.added;
    this.vocabSize = read.vocabSize;
    this.#path = path;
    try {
      this.#library = new Library({ ...PARTS, ...file as object }, config);
    } catch (cause) {
      throw new FormatError(path, `expected a tokenizer, received ${(cause as Error).message}`, { cause });
    }
  }

  /**
   * Encodes a text.
   *
   * @throws {ConfigError} when the text holds half a surrogate pair, or a piece that is no token
   */
  encode(text: string, options: EncodeOptions = {}): Encoding {
    if (!text.isWellFormed()) {
      throw new ConfigError("text", "expected Unicode, received half of a surrogate pair");
    }
    const add = options.addSpecialTokens ?? false;
    const { ids, tokens } = this.#library.encode(text, { add_special_tokens: add });
    const list = new Int32Array(ids.length);
    for (let i = 0; i < ids.length; i++) {
      const id: number | undefined = ids[i];
      if (id === undefined) {
        throw new ConfigError("text", `expected a token for "${tokens[i]}", received none in ${this.#path}`);
      }
      list[i] = id;
    }
    const own = add ? () => this.#library.tokenize(text, { add_special_tokens: false }) : undefined;
    return new LazyEncoding(list, () => this.#offsets(text, tokens, own));
  }

  /** Text of tokens; bytes that are no UTF-8 become U+FFFD. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const kept: number[] = [];
    for (let i = 0; i < ids.length; i++) {
      if (!(options.skipSpecialTokens && this.#special.has(ids[i]!))) kept.push(ids[i]!);
    }
    if (kept.length === 0) return "";
    if (!this.byteLevel) return this.#library.decode(kept, { clean_up_tokenization_spaces: false });
    const pieces = kept.map((id) => this.bytesOf(id));
    const bytes = new Uint8Array(pieces.reduce((n, piece) => n + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  }

  /** Whether tokens are sequences of bytes: then {@linkcode bytesOf} works, and texts can be cut anywhere. */
  get byteLevel(): boolean {
    return this.#rules?.kind === "bytes";
  }

  /** Whether a token is special, that is, no text. */
  isSpecial(id: number): boolean {
    return this.#special.has(id);
  }

  /** The id of a token by its text, `undefined` when there is none. */
  idOf(token: string): number | undefined {
    return this.#library.token_to_id(token);
  }

  /** UTF-8 bytes of a token of a byte-level tokenizer; none for an id that is no token. */
  bytesOf(id: number): Uint8Array {
    const known = this.#bytes.get(id);
    if (known !== undefined) return known;
    const added = this.#added.get(id);
    const token = added ?? this.#library.id_to_token(id) ?? "";
    const bytes = (added === undefined ? tokenBytes(token, this.#alphabet) : null) ??
      this.#utf8.encode(token);
    this.#bytes.set(id, bytes);
    return bytes;
  }

  #offsets(text: string, tokens: readonly string[], own?: () => string[]): Int32Array {
    if (this.#rules === null) {
      throw new FormatError(this.#path, `cannot place tokens in the text: ${this.#problem}`);
    }
    if (own === undefined) return alignTokens(text, tokens, this.#rules);
    // Special tokens around the text have the place (0, 0).
    const inner = own();
    const extra = tokens.length - inner.length;
    let before = 0;
    while (before < extra && inner.some((token, i) => tokens[before + i] !== token)) before++;
    const offsets = new Int32Array(2 * tokens.length);
    offsets.set(alignTokens(text, inner, this.#rules), 2 * before);
    return offsets;
  }
}

class LazyEncoding implements Encoding {
  readonly ids: Int32Array;
  #offsets: Int32Array | undefined;
  readonly #work: () => Int32Array;

  constructor(ids: Int32Array, work: () => Int32Array) {
    this.ids = ids;
    this.#work = work;
  }

  get offsets(): Int32Array {
    return this.#offsets ??= this.#work();
  }
}
