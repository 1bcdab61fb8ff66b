/** Bodies of requests, as large and as slow as they may be. */
import { RequestFailure } from "./failure.ts";

/** Bounds of a body. */
export interface BodyLimits {
  /** Most bytes. */
  readonly maxBodyBytes: number;
  /** Milliseconds until it must be here whole. */
  readonly bodyTimeoutMs: number;
}

/**
 * The JSON of a request.
 *
 * @throws {RequestFailure} 415 when it is said to be something else, 413 when it is too large, 408 when it does not come,
 * 400 when it is no JSON object
 */
export async function readJsonBody(request: Request, limits: BodyLimits): Promise<Record<string, unknown>> {
  const type = request.headers.get("content-type") ?? "";
  // Any page in a browser may post plain text or a form to any address, but JSON only where the server allows it.
  if (!/^application\/json\s*(?:;|$)/i.test(type.trim())) {
    throw new RequestFailure(
      415,
      `Expected a body of type application/json, received "${type.slice(0, 80)}"`,
    );
  }
  const text = decode(await readBytes(request, limits));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new RequestFailure(
      400,
      `Expected JSON, received what is none: ${(cause as Error).message.slice(0, 120)}`,
      {
        cause,
      },
    );
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new RequestFailure(400, "Expected a JSON object, received another value");
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new RequestFailure(400, "Expected a body in UTF-8, received bytes that are none", { cause });
  }
}

async function readBytes(request: Request, { maxBodyBytes, bodyTimeoutMs }: BodyLimits): Promise<Uint8Array> {
  const tooLarge = () =>
    new RequestFailure(413, `Expected a body of at most ${maxBodyBytes} bytes, received more`, {
      code: "request_too_large",
    });
  if (Number(request.headers.get("content-length") ?? 0) > maxBodyBytes) throw tooLarge();
  if (!request.body) return new Uint8Array();
  const reader = request.body.getReader(), chunks: Uint8Array[] = [];
  let late = false, bytes = 0;
  const timer = setTimeout(() => {
    late = true;
    reader.cancel().catch(() => {});
  }, bodyTimeoutMs);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes += value.length;
      if (bytes > maxBodyBytes) {
        reader.cancel().catch(() => {});
        throw tooLarge();
      }
      chunks.push(value);
    }
  } catch (cause) {
    if (cause instanceof RequestFailure) throw cause;
    if (!late) throw new RequestFailure(400, "Expected a whole body, received a part of one", { cause });
  } finally {
    clearTimeout(timer);
  }
  if (late) {
    throw new RequestFailure(
      408,
      `Expected the body within ${bodyTimeoutMs / 1000} s, received a part of it`,
    );
  }
  const all = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
