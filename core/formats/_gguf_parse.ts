/**
 * The one place that imports the library that parses GGUF headers. It bounds every count (arrays, texts, tensors, sizes)
 * and reads by HTTP ranges: here these are ranges of an open file, and nothing is asked of a network.
 *
 * @module
 */
import { gguf } from "npm:@huggingface/gguf@0.4.6";
import { FormatError } from "../errors.ts";
import type { OpenFile } from "../files.ts";

/** A header as it stands in the file. */
export interface RawHeader {
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly tensors: readonly {
    readonly name: string;
    /** Sizes, innermost first. */
    readonly shape: readonly bigint[];
    readonly dtype: number;
    readonly offset: bigint;
  }[];
  /** One past the header's last byte. */
  readonly end: number;
}

/**
 * Parses a header.
 *
 * @throws {FormatError} when it is cut off, or a count in it is beyond the library's limits
 */
export async function parseGguf(file: OpenFile): Promise<RawHeader> {
  let parsed: Awaited<ReturnType<typeof gguf>>;
  try {
    parsed = await gguf("https://localhost/", { fetch: (_, init) => respond(file, init) });
  } catch (cause) {
    if (cause instanceof FormatError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new FormatError(
      file.path,
      `expected the header of a GGUF file, received one that is wrong: ${reason}`,
      {
        cause,
      },
    );
  }
  const { tensorInfos, tensorInfoByteRange: [, end], littleEndian } = parsed;
  // Three entries are the library's own.
  const { version: _, tensor_count: __, kv_count: ___, ...metadata } = parsed.metadata;
  // The library reads zeros beyond the file's end, and takes what is too short as it is.
  if (end > file.size) throw cutOff(file);
  if (!littleEndian) {
    throw new FormatError(file.path, "expected little-endian numbers, received big-endian ones");
  }
  return { metadata: new Map(Object.entries(metadata)), tensors: tensorInfos, end };
}

/** The library asks for one piece ahead of what it needs, so one that begins behind the end is empty. */
async function respond(file: OpenFile, init: RequestInit | undefined): Promise<Response> {
  const range = new Headers(init?.headers).get("range") ?? "";
  const [, start = 0, last = -1] = /^bytes=(\d+)-(\d+)$/.exec(range)?.map(Number) ?? [];
  const piece = last + 1 - start;
  if (start >= file.size + piece) throw cutOff(file);
  const from = Math.min(start, file.size);
  return new Response(await file.read(from, Math.min(last + 1, file.size) - from));
}

function cutOff(file: OpenFile): FormatError {
  return new FormatError(
    file.path,
    `expected a whole header, received a file that ends within it, after ${file.size} bytes`,
    { hint: "Download the file again" },
  );
}
