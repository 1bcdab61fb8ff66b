/**
 * The header of numpy's array files: a Python dict of three entries, read without Python.
 *
 * @module
 */
import { FormatError } from "../errors.ts";

/** What the header says. */
export interface NpyHeader {
  /** Element type, as numpy writes it: `<f4`. */
  readonly descr: string;
  /** Whether the first axis runs fastest. */
  readonly fortranOrder: boolean;
  /** Axes, outermost first. */
  readonly shape: readonly number[];
}

const TOKEN = /\s*(?:'([^'\\]*)'|"([^"\\]*)"|(True|False)|(\d{1,16})L?|([{}():,[\]]))/y;

/**
 * Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`: these keys in any order, nothing else.
 *
 * @throws {FormatError} when it is anything else, structured types too
 */
export function parseNpyHeader(text: string, file: string): NpyHeader {
  const parser = new Parser(text, file);
  parser.expect("{");
  const fields = new Map<string, string | boolean | number[]>();
  while (!parser.accept("}")) {
    const key = parser.text();
    if (fields.has(key)) throw parser.wrong(`each key once`);
    parser.expect(":");
    if (key === "descr") fields.set(key, parser.text());
    else if (key === "fortran_order") fields.set(key, parser.boolean());
    else if (key === "shape") fields.set(key, parser.tuple());
    else throw parser.wrong("only descr, fortran_order and shape");
    if (!parser.accept(",")) {
      parser.expect("}");
      break;
    }
  }
  parser.end();
  const [descr, fortranOrder, shape] = ["descr", "fortran_order", "shape"].map((key) => fields.get(key));
  if (typeof descr !== "string" || typeof fortranOrder !== "boolean" || !Array.isArray(shape)) {
    throw parser.wrong("descr, fortran_order and shape");
  }
  return { descr, fortranOrder, shape };
}

class Parser {
  readonly #text: string;
  readonly #file: string;
  #at = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  wrong(expected: string): FormatError {
    const shown = this.#text.trim().slice(0, 100);
    return new FormatError(
      this.#file,
      `expected a header with ${expected} at ${this.#at}, received ${shown}`,
    );
  }

  expect(symbol: string): void {
    if (!this.accept(symbol)) throw this.wrong(`"${symbol}"`);
  }

  accept(symbol: string): boolean {
    const before = this.#at;
    if (this.#next()?.[5] === symbol) return true;
    this.#at = before;
    return false;
  }

  text(): string {
    const token = this.#next();
    const value = token?.[1] ?? token?.[2];
    if (value === undefined) throw this.wrong("a text");
    return value;
  }

  boolean(): boolean {
    const value = this.#next()?.[3];
    if (value === undefined) throw this.wrong("True or False");
    return value === "True";
  }

  tuple(): number[] {
    const items: number[] = [];
    this.expect("(");
    while (!this.accept(")")) {
      const digits = this.#next()?.[4];
      if (digits === undefined || !Number.isSafeInteger(Number(digits)) || items.length === 64) {
        throw this.wrong("at most 64 sizes");
      }
      items.push(Number(digits));
      if (!this.accept(",")) {
        this.expect(")");
        break;
      }
    }
    return items;
  }

  end(): void {
    if (this.#text.slice(this.#at).trim() !== "") throw this.wrong("nothing more");
  }

  #next(): RegExpExecArray | null {
    TOKEN.lastIndex = this.#at;
    const match = TOKEN.exec(this.#text);
    if (match !== null) this.#at = TOKEN.lastIndex;
    return match;
  }
}
