/** Who may ask. */
import { createHash, timingSafeEqual } from "node:crypto";
import { RequestFailure } from "./failure.ts";

/** Names of this machine that only it can be asked by. */
const LOOPBACK: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Whether a server that listens at this address can be reached from this machine only. */
export function isLoopback(hostname: string): boolean {
  return LOOPBACK.has(hostname) || hostname === "::1" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

/**
 * Refuses a request that does not bring the key. Digests are compared, each whole, so that the time it takes says nothing
 * of the key, its length neither.
 *
 * @throws {RequestFailure} 401
 */
export function requireKey(request: Request, key: string): void {
  const [, given = ""] = /^Bearer +(\S+)$/i.exec(request.headers.get("authorization") ?? "") ?? [];
  const digest = (text: string) => createHash("sha256").update(text).digest();
  if (timingSafeEqual(digest(given), digest(key))) return;
  throw new RequestFailure(
    401,
    given === ""
      ? "Expected a key as in Authorization: Bearer KEY, received none"
      : "Expected the server's key, received another",
    { code: "invalid_api_key", headers: { "www-authenticate": "Bearer" } },
  );
}

/**
 * Refuses a request by another name than this machine's: a page of somebody else, whose name was made to lead here (DNS
 * rebinding), or that sends something here.
 *
 * @throws {RequestFailure} 403
 */
export function requireLocalName(request: Request): void {
  const host = (request.headers.get("host") ?? "").replace(/:\d+$/, "").toLowerCase();
  const origin = request.headers.get("origin");
  const foreign = origin !== null && !(URL.canParse(origin) && LOOPBACK.has(new URL(origin).hostname));
  if (LOOPBACK.has(host) && !foreign) return;
  throw new RequestFailure(403, "Expected a request from this machine, received one by another name");
}
