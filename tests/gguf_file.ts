/** Writes GGUF files for tests, from the format's description alone; also such as lie. */

/** A value of the metadata, with its type's name. */
export type GgufValue =
  | { readonly u32: number }
  | { readonly u64: bigint }
  | { readonly f32: number }
  | { readonly text: string }
  | { readonly texts: readonly string[] };

/** A tensor as it is stored. */
export interface StoredTensor {
  readonly name: string;
  /** Axes, outermost first. */
  readonly shape: readonly number[];
  /** Number of its type in ggml. */
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** What is written; what is left out is as it should be. */
export interface GgufParts {
  readonly metadata?: Readonly<Record<string, GgufValue>>;
  readonly tensors?: readonly StoredTensor[];
  readonly alignment?: number;
  readonly magic?: string;
  readonly version?: number;
  /** Counts that the header claims. */
  readonly claims?: { readonly tensors?: bigint; readonly values?: bigint };
  /** Offset of each tensor's data that the header claims. */
  readonly offsets?: readonly number[];
}

const encoder = new TextEncoder();

/** A whole file. */
export function ggufFile(parts: GgufParts): Uint8Array<ArrayBuffer> {
  const { metadata = {}, tensors = [], alignment = 32 } = parts;
  const header = new Bytes();
  header.raw(encoder.encode(parts.magic ?? "GGUF"));
  header.u32(parts.version ?? 3);
  header.u64(parts.claims?.tensors ?? BigInt(tensors.length));
  header.u64(parts.claims?.values ?? BigInt(Object.keys(metadata).length));
  for (const [key, value] of Object.entries(metadata)) {
    header.text(key);
    header.value(value);
  }
  let at = 0;
  tensors.forEach(({ name, shape, type, bytes }, i) => {
    header.text(name);
    header.u32(shape.length);
    for (const axis of [...shape].reverse()) header.u64(BigInt(axis));
    header.u32(type);
    header.u64(BigInt(parts.offsets?.[i] ?? at));
    at = align(at + bytes.length, alignment);
  });
  header.pad(alignment);
  for (const { bytes } of tensors) {
    header.raw(bytes);
    header.pad(alignment);
  }
  return header.all();
}

function align(at: number, alignment: number): number {
  return Math.ceil(at / alignment) * alignment;
}

class Bytes {
  #parts: Uint8Array[] = [];
  #done = 0;

  u32(value: number): void {
    this.raw(new Uint8Array(Uint32Array.of(value).buffer));
  }

  u64(value: bigint): void {
    this.raw(new Uint8Array(BigUint64Array.of(value).buffer));
  }

  text(text: string): void {
    const bytes = encoder.encode(text);
    this.u64(BigInt(bytes.length));
    this.raw(bytes);
  }

  value(value: GgufValue): void {
    if ("u32" in value) {
      this.u32(4);
      this.u32(value.u32);
    } else if ("u64" in value) {
      this.u32(10);
      this.u64(value.u64);
    } else if ("f32" in value) {
      this.u32(6);
      this.raw(new Uint8Array(Float32Array.of(value.f32).buffer));
    } else if ("text" in value) {
      this.u32(8);
      this.text(value.text);
    } else {
      this.u32(9);
      this.u32(8);
      this.u64(BigInt(value.texts.length));
      for (const text of value.texts) this.text(text);
    }
  }

  raw(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#done += bytes.length;
  }

  pad(alignment: number): void {
    this.raw(new Uint8Array(align(this.#done, alignment) - this.#done));
  }

  all(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.#done);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}
