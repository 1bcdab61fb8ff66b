/**
 * Pickles of protocol 2, byte for byte as Python's own pickler makes them of the same values.
 *
 * @module
 */

/** A pickle being written, with the memo that Python keeps. */
export class PickleWriter {
  #bytes = new Uint8Array(1024);
  #length = 0;
  #entries = 0;
  readonly #memo = new Map<unknown, number>();

  /** Begins with the protocol. */
  constructor() {
    this.op("\x80").byte(2);
  }

  /** The finished pickle. */
  finish(): Uint8Array {
    this.op(".");
    return this.#bytes.slice(0, this.#length);
  }

  /** An opcode. */
  op(code: string): this {
    return this.byte(code.charCodeAt(0));
  }

  /** One byte. */
  byte(value: number): this {
    this.#room(1)[0] = value;
    return this;
  }

  /** Refers to an object that was written before; false when it was not. */
  again(key: unknown): boolean {
    const index = this.#memo.get(key);
    if (index === undefined) return false;
    if (index < 256) this.op("h").byte(index);
    else this.op("j").#u32(index);
    return true;
  }

  /** Enters what was just written into the memo, under a key if it may come again. */
  put(key?: unknown): this {
    const index = this.#entries++;
    if (key !== undefined) this.#memo.set(key, index);
    return index < 256 ? this.op("q").byte(index) : this.op("r").#u32(index);
  }

  /** A name. */
  global(module: string, name: string): this {
    const key = `global ${module} ${name}`;
    if (!this.again(key)) this.op("c").#text(`${module}\n${name}\n`).put(key);
    return this;
  }

  /** A text. */
  text(value: string): this {
    const key = `text ${value}`;
    if (this.again(key)) return this;
    const bytes = new TextEncoder().encode(value);
    this.op("X").#u32(bytes.length).#room(bytes.length).set(bytes);
    return this.put(key);
  }

  /** An integer of any size. */
  integer(value: number | bigint): this {
    if (value >= -0x80000000 && value <= 0x7fffffff) {
      const small = Number(value);
      if (small >= 0 && small < 256) return this.op("K").byte(small);
      if (small >= 0 && small < 65536) return this.op("M").byte(small & 255).byte(small >> 8);
      return this.op("J").#u32(small >>> 0);
    }
    let rest = BigInt(value);
    const bytes: number[] = [];
    do {
      bytes.push(Number(rest & 255n));
      rest >>= 8n;
    } while (rest !== (bytes.at(-1)! >= 128 ? -1n : 0n));
    if (bytes.length < 256) this.op("\x8a").byte(bytes.length);
    else this.op("\x8b").#u32(bytes.length);
    this.#room(bytes.length).set(bytes);
    return this;
  }

  /** A float. */
  float(value: number): this {
    const bytes = this.op("G").#room(8);
    new DataView(bytes.buffer, bytes.byteOffset, 8).setFloat64(0, value, false);
    return this;
  }

  /** A tuple; its items are written by a function. */
  tuple(count: number, items: () => void): this {
    if (count === 0) return this.op(")");
    if (count > 3) this.op("(");
    items();
    return this.byte(count > 3 ? 0x74 : 0x84 + count).put();
  }

  #u32(value: number): this {
    return this.byte(value & 255).byte((value >>> 8) & 255).byte((value >>> 16) & 255).byte(value >>> 24);
  }

  #text(value: string): this {
    const bytes = new TextEncoder().encode(value);
    this.#room(bytes.length).set(bytes);
    return this;
  }

  #room(length: number): Uint8Array {
    const end = this.#length + length;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    const room = this.#bytes.subarray(this.#length, end);
    this.#length = end;
    return room;
  }
}
