/**
 * The bytes of a pickle, read in order: counts, texts, lines and numbers.
 *
 * @module
 */
import { FormatError } from "../errors.ts";

/** Longest integer, in bytes. */
const MAX_INTEGER = 1024;

/** A position in a pickle. Every read is within its bytes or an error. */
export class PickleReader {
  /** Next byte. */
  at: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #file: string;

  /** Starts at a position. */
  constructor(bytes: Uint8Array, file: string, at = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#file = file;
    this.at = at;
  }

  /** An error at this place. */
  fail(expected: string, received: string): FormatError {
    return new FormatError(
      this.#file,
      `expected ${expected} at byte ${this.at} of the pickle, received ${received}`,
    );
  }

  /** Some bytes, not copied. */
  take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.at) {
      throw this.fail(`${length} bytes`, `${this.#bytes.length - this.at}`);
    }
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  /** An unsigned integer of 1, 2 or 4 bytes. */
  uint(size: 1 | 2 | 4): number {
    const at = this.#advance(size);
    if (size === 1) return this.#view.getUint8(at);
    return size === 2 ? this.#view.getUint16(at, true) : this.#view.getUint32(at, true);
  }

  /** A signed integer of 4 bytes. */
  int32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  /** A count of 8 bytes, which must not lead past the end. */
  count8(): number {
    const value = this.#view.getBigUint64(this.#advance(8), true);
    if (value > BigInt(this.#bytes.length)) throw this.fail("a length within the file", `${value}`);
    return Number(value);
  }

  /** A big-endian f64. */
  double(): number {
    return this.#view.getFloat64(this.#advance(8), false);
  }

  /** UTF-8 of some bytes. */
  text(length: number): string {
    const bytes = this.take(length);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw this.fail("text in UTF-8", "other bytes");
    }
  }

  /** Text up to the end of the line. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at);
    if (end < 0) throw this.fail("a line", "no end of it");
    const text = this.text(end - this.at);
    this.at++;
    return text;
  }

  /** A two's complement integer, little end first. */
  long(length: number): number | bigint {
    if (length > MAX_INTEGER) throw this.fail(`an integer of at most ${MAX_INTEGER} bytes`, `${length}`);
    const bytes = this.take(length);
    let digits = "";
    for (let i = length - 1; i >= 0; i--) digits += bytes[i]!.toString(16).padStart(2, "0");
    return narrow(BigInt.asIntN(length * 8, BigInt(`0x${digits || "0"}`)));
  }

  /** An integer in decimal, as text. */
  decimal(text: string): number | bigint {
    if (!/^[+-]?\d+$/.test(text) || text.length > MAX_INTEGER) throw this.fail("an integer", show(text));
    return narrow(BigInt(text.replace(/^\+/, "")));
  }

  #advance(size: number): number {
    this.take(size);
    return this.at - size;
  }
}

/** A number where it is exact, a bigint beyond. */
function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function show(text: string): string {
  return JSON.stringify(text.slice(0, 40));
}
