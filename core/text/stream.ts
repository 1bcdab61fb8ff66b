/**
 * Text of tokens as they come.
 *
 * @module
 */
import type { TextTokenizer } from "./tokenizer.ts";

/** Turns tokens into text piece by piece; a character is given out when all its bytes are there. */
export class TextStream {
  readonly #tokenizer: TextTokenizer;
  readonly #skipSpecial: boolean;
  readonly #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  #ids: number[] = [];
  #read = 0;

  /**
   * Begins a text.
   *
   * @param options `skipSpecialTokens`: leave special tokens out, as is usual for people's eyes
   */
  constructor(tokenizer: TextTokenizer, options: { readonly skipSpecialTokens?: boolean } = {}) {
    this.#tokenizer = tokenizer;
    this.#skipSpecial = options.skipSpecialTokens ?? false;
  }

  /** Takes tokens and gives the text that is complete with them. */
  push(ids: ArrayLike<number>): string {
    let text = "";
    for (let i = 0; i < ids.length; i++) text += this.#pushOne(ids[i]!);
    return text;
  }

  /** The text of what is left: bytes that are no whole character become U+FFFD. */
  end(): string {
    if (this.#tokenizer.byteLevel) return this.#utf8.decode();
    const rest = this.#tokenizer.decode(this.#ids).slice(this.#shown().length);
    this.#ids = [];
    this.#read = 0;
    return rest;
  }

  #pushOne(id: number): string {
    if (this.#skipSpecial && this.#tokenizer.isSpecial(id)) return "";
    if (this.#tokenizer.byteLevel) return this.#utf8.decode(this.#tokenizer.bytesOf(id), { stream: true });
    // What a token reads as can depend on the one before (a blank at the start), so both are decoded together.
    this.#ids.push(id);
    const shown = this.#shown();
    const text = this.#tokenizer.decode(this.#ids);
    if (text.length <= shown.length || text.endsWith("\uFFFD")) return "";
    this.#ids = this.#ids.slice(this.#read);
    this.#read = this.#ids.length;
    return text.slice(shown.length);
  }

  #shown(): string {
    return this.#tokenizer.decode(this.#ids.slice(0, this.#read));
  }
}
