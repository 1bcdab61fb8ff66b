/**
 * Zip archives as far as torch files need them: stored and deflated members, zip64. Members are read on demand.
 *
 * Source: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 *
 * @module
 */
import { inflateRawSync } from "node:zlib";
import { FormatError } from "../errors.ts";
import type { OpenFile } from "../files.ts";
import { checksum } from "./_crc.ts";

const MAX_DIRECTORY = 64 * 1024 * 1024;
/** A deflated member may grow to this many bytes, or to {@linkcode MAX_RATIO} times its size. */
const MAX_INFLATED = 16 * 1024 * 1024;
const MAX_RATIO = 64;
const CHUNK = 4 * 1024 * 1024;
const U32 = 0xffffffff;

/** A member, as the central directory describes it. */
export interface ZipEntry {
  /** Its full name. */
  readonly name: string;
  /** Bytes once unpacked. */
  readonly size: number;
  /** Bytes in the archive. */
  readonly packed: number;
  /** Whether it is deflated; otherwise it is stored as it is. */
  readonly deflated: boolean;
  /** CRC-32 of the unpacked bytes; 0 where the writer left it out. */
  readonly crc: number;
  /** Where its local header begins. */
  readonly header: number;
}

/** An archive whose directory has been read. */
export class ZipArchive {
  /** Members by name. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
  readonly #file: OpenFile;
  readonly #checked = new Set<ZipEntry>();

  /** @param entries what {@linkcode openZip} found */
  constructor(file: OpenFile, entries: ReadonlyMap<string, ZipEntry>) {
    this.#file = file;
    this.entries = entries;
  }

  /**
   * Reads a range of a member's unpacked bytes. The member's checksum is compared the first time.
   *
   * @throws {FormatError} when the member is damaged, or unpacks to more or less than the directory says
   */
  async read(entry: ZipEntry, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const start = await this.#dataStart(entry);
    if (entry.deflated) {
      const whole = inflate(await this.#file.read(start, entry.packed), entry, this.#file.path);
      this.#check(entry, checksum(whole));
      return whole.slice(offset, offset + length);
    }
    const bytes = await this.#file.read(start + offset, length);
    if (length === entry.size) this.#check(entry, checksum(bytes));
    else if (!this.#checked.has(entry)) await this.#checkStored(entry, start);
    return bytes;
  }

  async #checkStored(entry: ZipEntry, start: number): Promise<void> {
    let sum = 0;
    for (let at = 0; at < entry.size; at += CHUNK) {
      sum = checksum(await this.#file.read(start + at, Math.min(CHUNK, entry.size - at)), sum);
    }
    this.#check(entry, sum);
  }

  #check(entry: ZipEntry, sum: number): void {
    // torch can be told to save without checksums, and then writes 0.
    if (entry.crc !== 0 && entry.crc !== sum) {
      throw new FormatError(
        this.#file.path,
        `expected the checksum ${hex(entry.crc)} for "${entry.name}", received ${hex(sum)}`,
        { hint: "The file is damaged: fetch or make it again" },
      );
    }
    this.#checked.add(entry);
  }

  async #dataStart(entry: ZipEntry): Promise<number> {
    const { path, size } = this.#file;
    if (entry.header + 30 > size) throw outside(path, entry.name);
    const head = new DataView((await this.#file.read(entry.header, 30)).buffer);
    if (head.getUint32(0, true) !== 0x04034b50) {
      throw new FormatError(
        path,
        `expected a local header for "${entry.name}" at ${entry.header}, received other bytes`,
      );
    }
    const nameLength = head.getUint16(26, true);
    const start = entry.header + 30 + nameLength + head.getUint16(28, true);
    if (start + entry.packed > size) throw outside(path, entry.name);
    const name = new TextDecoder().decode(await this.#file.read(entry.header + 30, nameLength));
    if (name !== entry.name) {
      throw new FormatError(path, `expected the local header of "${entry.name}", received that of "${name}"`);
    }
    return start;
  }
}

/**
 * Reads an archive's directory.
 *
 * @throws {FormatError} when there is none, or it does not describe the file
 */
export async function openZip(file: OpenFile): Promise<ZipArchive> {
  const { offset, size, count } = await findDirectory(file);
  const bytes = await file.read(offset, size);
  const view = new DataView(bytes.buffer);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > size || view.getUint32(at, true) !== 0x02014b50) {
      throw new FormatError(file.path, `expected ${count} entries in the archive's directory, received ${i}`);
    }
    const [nameLength, extraLength] = [view.getUint16(at + 28, true), view.getUint16(at + 30, true)];
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > size) throw new FormatError(file.path, "expected a whole archive directory, received a part");
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    const extra = bytes.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength);
    if (entries.has(name)) {
      throw new FormatError(file.path, `expected the member "${name}" once, received it twice`);
    }
    entries.set(name, readEntry(new DataView(bytes.buffer, at, 46), { name, extra, file: file.path }));
    at = next;
  }
  if (at !== size) {
    throw new FormatError(file.path, `expected ${size} bytes of archive directory, received ${at}`);
  }
  checkPlaces([...entries.values()], offset, file.path);
  return new ZipArchive(file, entries);
}

async function findDirectory(file: OpenFile): Promise<{ offset: number; size: number; count: number }> {
  const { path } = file;
  const start = Math.max(0, file.size - 22 - 65535);
  const tail = await file.read(start, file.size - start);
  const view = new DataView(tail.buffer);
  let end = tail.length - 22;
  // The end record may have a comment behind it, which must reach to the end of the file.
  while (
    end >= 0 &&
    !(view.getUint32(end, true) === 0x06054b50 && end + 22 + view.getUint16(end + 20, true) === tail.length)
  ) {
    end--;
  }
  if (end < 0) {
    throw new FormatError(path, "expected an archive's directory at its end, received none", {
      hint: "The file is cut off or no archive: fetch or make it again",
    });
  }
  let [count, size, offset] = [
    view.getUint16(end + 10, true),
    view.getUint32(end + 12, true),
    view.getUint32(end + 16, true),
  ];
  let limit = start + end;
  const locator = limit - 20;
  const mark = locator >= 0 ? new DataView((await file.read(locator, 20)).buffer) : null;
  if (mark?.getUint32(0, true) === 0x07064b50) {
    limit = toNumber(mark.getBigUint64(8, true), path);
    if (limit + 56 > locator) throw outside(path, "zip64 end record");
    const wide = new DataView((await file.read(limit, 56)).buffer);
    if (wide.getUint32(0, true) !== 0x06064b50) {
      throw new FormatError(path, "expected a zip64 end record, received other bytes");
    }
    count = toNumber(wide.getBigUint64(32, true), path);
    size = toNumber(wide.getBigUint64(40, true), path);
    offset = toNumber(wide.getBigUint64(48, true), path);
  }
  if (offset + size > limit) throw outside(path, "archive directory");
  if (size > MAX_DIRECTORY) {
    throw new FormatError(
      path,
      `expected an archive directory of at most ${MAX_DIRECTORY} bytes, received ${size}`,
    );
  }
  return { offset, size, count };
}

function readEntry(view: DataView, at: { name: string; extra: Uint8Array; file: string }): ZipEntry {
  const { name, file } = at;
  const flags = view.getUint16(8, true);
  if ((flags & 1) !== 0) throw new FormatError(file, `expected "${name}" in plain, received it encrypted`);
  const method = view.getUint16(10, true);
  if (method !== 0 && method !== 8) {
    throw new FormatError(
      file,
      `expected "${name}" stored or deflated, received compression method ${method}`,
    );
  }
  let [packed, size, header] = [view.getUint32(20, true), view.getUint32(24, true), view.getUint32(42, true)];
  const wide = wideFields(at.extra);
  const next = () => {
    const value = wide.shift();
    if (value === undefined) throw new FormatError(file, `expected zip64 sizes for "${name}", received none`);
    return toNumber(value, file);
  };
  if (size === U32) size = next();
  if (packed === U32) packed = next();
  if (header === U32) header = next();
  if (method === 0 && packed !== size) {
    throw new FormatError(file, `expected "${name}" to be stored in ${size} bytes, received ${packed}`);
  }
  return { name, size, packed, deflated: method === 8, crc: view.getUint32(16, true), header };
}

function wideFields(extra: Uint8Array): bigint[] {
  const view = new DataView(extra.buffer, extra.byteOffset, extra.length);
  const fields: bigint[] = [];
  for (let at = 0; at + 4 <= extra.length;) {
    const [id, length] = [view.getUint16(at, true), view.getUint16(at + 2, true)];
    at += 4;
    if (id === 1) {
      for (let i = 0; i + 8 <= length && at + i + 8 <= extra.length; i += 8) {
        fields.push(view.getBigUint64(at + i, true));
      }
    }
    at += length;
  }
  return fields;
}

/** No two members may share bytes: that is how a small archive unpacks to a huge one. */
function checkPlaces(entries: ZipEntry[], directory: number, file: string): void {
  entries.sort((a, b) => a.header - b.header);
  for (const [i, entry] of entries.entries()) {
    const limit = entries[i + 1]?.header ?? directory;
    if (entry.header + 30 + entry.packed > limit) throw outside(file, entry.name);
  }
}

function inflate(packed: Uint8Array, entry: ZipEntry, file: string): Uint8Array<ArrayBuffer> {
  const most = Math.max(MAX_INFLATED, MAX_RATIO * entry.packed);
  if (entry.size > most) {
    throw new FormatError(
      file,
      `expected "${entry.name}" to unpack to at most ${most} bytes, received ${entry.size}`,
    );
  }
  let bytes: Uint8Array;
  try {
    bytes = inflateRawSync(packed, { maxOutputLength: Math.max(entry.size, 1) });
  } catch (cause) {
    throw new FormatError(
      file,
      `expected "${entry.name}" to unpack to ${entry.size} bytes, received other data`,
      { cause },
    );
  }
  if (bytes.length !== entry.size) {
    throw new FormatError(
      file,
      `expected "${entry.name}" to unpack to ${entry.size} bytes, received ${bytes.length}`,
    );
  }
  return new Uint8Array(bytes);
}

function toNumber(value: bigint, file: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new FormatError(file, `expected an archive offset below 2^53, received ${value}`);
  }
  return Number(value);
}

function outside(file: string, what: string): FormatError {
  return new FormatError(
    file,
    `expected the ${JSON.stringify(what)} to lie in its place in the file, received one beyond`,
  );
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}
