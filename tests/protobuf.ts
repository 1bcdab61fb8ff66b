/** Reads protocol buffers' wire format, for tests of what is written in it. */

/** The fields of a message by their numbers. */
export class Fields {
  readonly #fields: ReadonlyMap<number, readonly (Uint8Array | number)[]>;

  constructor(fields: ReadonlyMap<number, readonly (Uint8Array | number)[]>) {
    this.#fields = fields;
  }

  /** A whole number; 0 when the field is not there. */
  number(field: number): number {
    const value = this.#fields.get(field)?.at(-1) ?? 0;
    if (typeof value !== "number") throw new TypeError(`field ${field} is no number`);
    return value;
  }

  double(field: number): number {
    return this.#view(field, 8).getFloat64(0, true);
  }

  float(field: number): number {
    return this.#view(field, 4).getFloat32(0, true);
  }

  text(field: number): string {
    return new TextDecoder("utf-8", { fatal: true }).decode(this.#bytes(field));
  }

  message(field: number): Fields {
    return fields(this.#bytes(field));
  }

  messages(field: number): Fields[] {
    return (this.#fields.get(field) ?? []).map((value) => fields(value as Uint8Array));
  }

  /** Numbers of the fields there are. */
  get present(): number[] {
    return [...this.#fields.keys()];
  }

  #bytes(field: number): Uint8Array {
    const value = this.#fields.get(field)?.at(-1);
    if (!(value instanceof Uint8Array)) throw new TypeError(`field ${field} is not there, or a number`);
    return value;
  }

  #view(field: number, length: number): DataView {
    const bytes = this.#bytes(field);
    if (bytes.length !== length) throw new TypeError(`field ${field} has ${bytes.length} bytes`);
    return new DataView(bytes.buffer, bytes.byteOffset, length);
  }
}

/** Parts a message into its fields. */
export function fields(data: Uint8Array): Fields {
  const found = new Map<number, (Uint8Array | number)[]>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1;; scale *= 128) {
      const byte = data[at++];
      if (byte === undefined) throw new RangeError("the message ends in a number");
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const take = (length: number): Uint8Array => {
    if (at + length > data.length) throw new RangeError("the message ends in a field");
    return data.subarray(at, at += length);
  };
  while (at < data.length) {
    const tag = varint(), wire = tag % 8, values = found.get(Math.floor(tag / 8)) ?? [];
    found.set(Math.floor(tag / 8), values);
    values.push(wire === 0 ? varint() : take(wire === 1 ? 8 : wire === 5 ? 4 : varint()));
  }
  return new Fields(found);
}
