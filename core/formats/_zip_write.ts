/**
 * Zip archives as torch writes them: stored members, each one's data at a multiple of 64 bytes, zip64 end records.
 * Members may be deflated, which torch itself never does, but reads.
 *
 * @module
 */
import { promisify } from "node:util";
import { deflateRaw } from "node:zlib";
import type { AtomicFile } from "../files.ts";
import { checksum } from "./_crc.ts";

const U32 = 0xffffffff;
const ALIGNMENT = 64;
/** Names are UTF-8, and sizes follow the data, where there is any. */
const [FLAGS, FLAGS_EMPTY] = [0x0808, 0x0800];

interface Member {
  readonly name: Uint8Array;
  readonly crc: number;
  readonly size: number;
  /** Bytes in the archive. */
  readonly packed: number;
  readonly header: number;
}

/** Appends members to a file, then the directory. */
export class ZipWriter {
  readonly #file: AtomicFile;
  readonly #members: Member[] = [];
  readonly #compress: boolean;
  #at = 0;

  /**
   * @param file empty
   * @param options `compress`: deflate members where that makes them smaller
   */
  constructor(file: AtomicFile, options: { readonly compress?: boolean } = {}) {
    this.#file = file;
    this.#compress = options.compress ?? false;
  }

  /** Appends a member and returns its CRC-32. */
  async add(name: string, data: Uint8Array): Promise<number> {
    const packed = this.#compress ? await deflated(data) : data;
    const member = {
      name: new TextEncoder().encode(name),
      crc: checksum(data),
      size: data.length,
      packed: packed.length,
      header: this.#at,
    };
    this.#members.push(member);
    await this.#write(localHeader(member));
    await this.#write(packed);
    if (data.length > 0) await this.#write(descriptor(member));
    return member.crc;
  }

  /** Writes the directory. */
  async finish(): Promise<void> {
    const start = this.#at;
    for (const member of this.#members) await this.#write(directoryEntry(member));
    const [size, end, count] = [this.#at - start, this.#at, this.#members.length];
    const wide = new Fields().u32(0x06064b50).u64(44).u16(0x031e).u16(45).u32(0).u32(0);
    await this.#write(wide.u64(count).u64(count).u64(size).u64(start).bytes());
    await this.#write(new Fields().u32(0x07064b50).u32(0).u64(end).u32(1).bytes());
    const short = Math.min(count, 0xffff);
    const last = new Fields().u32(0x06054b50).u16(0).u16(0).u16(short).u16(short);
    await this.#write(last.u32(Math.min(size, U32)).u32(Math.min(start, U32)).u16(0).bytes());
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await this.#file.write(bytes);
    this.#at += bytes.length;
  }
}

/** Level 1: hidden states are nearly noise, and higher levels gain nothing but time. */
const LEVEL = 1;
/** Members below this size stay as they are. */
const LEAST = 256;

async function deflated(data: Uint8Array): Promise<Uint8Array> {
  if (data.length < LEAST) return data;
  const packed = await promisify(deflateRaw as DeflateRaw)(data, { level: LEVEL });
  return packed.length < data.length ? packed : data;
}

type DeflateRaw = (
  data: Uint8Array,
  options: { readonly level: number },
  done: (error: Error | null, packed: Uint8Array) => void,
) => void;

function isWide(member: Member): boolean {
  return member.size >= U32 || member.header >= U32;
}

/** 8 is deflate, 0 is as it is. */
function method(member: Member): number {
  return member.packed < member.size ? 8 : 0;
}

/** The zip64 extra field: what does not fit into 32 bits. */
function wideExtra(member: Member): Fields {
  const extra = new Fields();
  if (isWide(member)) {
    const sizes = member.size >= U32;
    const place = member.header >= U32;
    extra.u16(1).u16((sizes ? 16 : 0) + (place ? 8 : 0));
    if (sizes) extra.u64(member.size).u64(member.packed);
    if (place) extra.u64(member.header);
  }
  return extra;
}

function localHeader(member: Member): Uint8Array {
  const extra = wideExtra(member);
  const before = member.header + 30 + member.name.length + extra.length + 4;
  const padding = (ALIGNMENT - before % ALIGNMENT) % ALIGNMENT;
  extra.u16(0x4246).u16(padding).raw(new Uint8Array(padding).fill(0x5a));
  const header = new Fields().u32(0x04034b50).u16(0).u16(member.size > 0 ? FLAGS : FLAGS_EMPTY)
    .u16(method(member)).u32(0).u32(0).u32(0).u32(0);
  return header.u16(member.name.length).u16(extra.length).raw(member.name).raw(extra.bytes()).bytes();
}

function descriptor(member: Member): Uint8Array {
  const fields = new Fields().u32(0x08074b50).u32(member.crc);
  if (isWide(member)) return fields.u64(member.packed).u64(member.size).bytes();
  return fields.u32(member.packed).u32(member.size).bytes();
}

function directoryEntry(member: Member): Uint8Array {
  const extra = wideExtra(member);
  const [size, place] = [Math.min(member.size, U32), Math.min(member.header, U32)];
  const entry = new Fields().u32(0x02014b50).u16(0).u16(0).u16(member.size > 0 ? FLAGS : FLAGS_EMPTY)
    .u16(method(member)).u32(0);
  entry.u32(member.crc).u32(size === U32 ? U32 : member.packed).u32(size).u16(member.name.length).u16(
    extra.length,
  );
  entry.u16(0).u16(0).u16(0).u32(0).u32(place);
  return entry.raw(member.name).raw(extra.bytes()).bytes();
}

/** Little-endian fields, one after another. */
class Fields {
  readonly #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  u16(value: number): this {
    this.#bytes.push(value & 255, value >> 8);
    return this;
  }

  u32(value: number): this {
    this.#bytes.push(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);
    return this;
  }

  u64(value: number): this {
    return this.u32(value % 2 ** 32).u32(Math.floor(value / 2 ** 32));
  }

  raw(bytes: Uint8Array): this {
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}
