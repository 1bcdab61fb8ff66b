/**
 * Where the lines of a file lie.
 *
 * @module
 */
import { FormatError, NotFoundError } from "../errors.ts";

/** Lines that are not blank, in order. */
export interface LineIndex {
  /** Byte where each begins. */
  readonly starts: readonly number[];
  /** Its bytes, without the line's end. */
  readonly lengths: readonly number[];
  /** Its number, from 1, blank lines counted. */
  readonly numbers: readonly number[];
}

/** Finds the lines of a file without holding it in memory. A byte order mark at the start is skipped. */
export async function indexLines(path: string): Promise<LineIndex> {
  const starts: number[] = [];
  const lengths: number[] = [];
  const numbers: number[] = [];
  let number = 1;
  let start = 0;
  let at = 0;
  let blank = true;
  const end = (to: number) => {
    if (!blank) {
      starts.push(start);
      lengths.push(to - start);
      numbers.push(number);
    }
    number++;
    start = to + 1;
    blank = true;
  };
  using file = await open(path);
  const chunk = new Uint8Array(1 << 18);
  for (let read = await file.read(chunk); read !== null; read = await file.read(chunk)) {
    let from = 0;
    if (at === 0 && chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf) start = from = 3;
    for (let i = from; i < read; i++) {
      const byte = chunk[i]!;
      if (byte === 0x0a) end(at + i);
      else if (!blank || (byte !== 0x20 && byte !== 0x0d && byte !== 0x09)) {
        blank = false;
        // Nothing else of the line matters until its end.
        const next = chunk.subarray(0, read).indexOf(0x0a, i);
        i = next < 0 ? read : next - 1;
      }
    }
    at += read;
  }
  if (!blank) end(at);
  return { starts, lengths, numbers };
}

async function open(path: string): Promise<Deno.FsFile> {
  try {
    const info = await Deno.stat(path);
    if (!info.isFile) throw new FormatError(path, "expected a file, received something else");
    return await Deno.open(path, { read: true });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new NotFoundError(path, "expected a data set, received nothing under that name", { cause });
    }
    if (cause instanceof FormatError) throw cause;
    throw new FormatError(path, (cause as Error).message, { cause });
  }
}
