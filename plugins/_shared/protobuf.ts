/**
 * Writes protocol buffers' wire format (protobuf.dev/programming-guides/encoding): as much of it as logs need.
 *
 * @module
 */

/** A message under construction: fields in the order of the calls. Methods give the message itself. */
export class Message {
  readonly #parts: Uint8Array[] = [];

  /** A whole number of 0 or more: int32, int64, uint64, enum, bool. */
  varint(field: number, value: number): this {
    return this.#push(tag(field, 0), varint(value));
  }

  /** A double. */
  double(field: number, value: number): this {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value, true);
    return this.#push(tag(field, 1), bytes);
  }

  /** A float. */
  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.#push(tag(field, 5), bytes);
  }

  /** Bytes, a text in UTF-8, or a message. */
  bytes(field: number, value: Uint8Array | string | Message): this {
    const bytes = typeof value === "string"
      ? new TextEncoder().encode(value)
      : value instanceof Message
      ? value.encode()
      : value;
    return this.#push(tag(field, 2), varint(bytes.length), bytes);
  }

  /** The message's bytes. */
  encode(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.#parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  #push(...parts: Uint8Array[]): this {
    this.#parts.push(...parts);
    return this;
  }
}

function tag(field: number, wire: number): Uint8Array {
  return varint(field * 8 + wire);
}

/** Seven bits a byte, the lowest first; division, since numbers may have more than 32 bits. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push(rest % 0x80 | 0x80);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
