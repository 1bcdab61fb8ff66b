/**
 * Server-sent events, as servers stream their answers.
 *
 * source: WHATWG HTML, "Server-sent events", 9.2.5 Parsing an event stream
 *
 * @module
 */
import { FormatError } from "../errors.ts";

/** Largest event that is read. */
const MAX_EVENT_CHARS = 4 * 1024 * 1024;

/**
 * The data of each event of a stream, as they come.
 *
 * @throws {FormatError} when an event does not end within 4 Mi characters
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string, void, void> {
  let rest = "";
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    rest += chunk;
    // A `\r` at the end may be half of a line's end.
    const whole = rest.endsWith("\r") ? rest.length - 1 : rest.length;
    const parts = rest.slice(0, whole).split(/\r\n\r\n|\n\n|\r\r/);
    rest = parts.pop()! + rest.slice(whole);
    for (const part of parts) {
      const data = dataOf(part);
      if (data !== null) yield data;
    }
    if (rest.length > MAX_EVENT_CHARS) {
      throw new FormatError(
        "event stream",
        `expected events of at most ${MAX_EVENT_CHARS} characters, received more`,
      );
    }
  }
}

/** Lines `data: …` joined; `null` where there is none, as in a comment. */
function dataOf(event: string): string | null {
  const lines = event.split(/\r\n|\n|\r/).filter((line) => line.startsWith("data:"));
  return lines.length === 0 ? null : lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
}
