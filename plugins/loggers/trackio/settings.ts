/** Where a Trackio server is, from the environment alone. */
import { ConfigError } from "../../../core/errors.ts";

/** A server and what opens it. */
export interface TrackioServer {
  /** Address below which its API lies, without a slash at its end. */
  readonly base: string;
  /** The token that writing takes. */
  readonly token: string;
  /** Project that runs belong to. */
  readonly project: string;
}

/**
 * Reads `TRACKIO_SERVER_URL`, whose query may hold the token (`?write_token=…`, as `trackio.show()` prints it),
 * `TRACKIO_WRITE_TOKEN` and `TRACKIO_PROJECT`, else `speculators`.
 *
 * @param get reads a variable
 * @throws {ConfigError} when there is no address or no token; names neither's content
 */
export function trackioServer(get: (name: string) => string | undefined): TrackioServer {
  const address = get("TRACKIO_SERVER_URL")?.trim() ?? "";
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new ConfigError(
      "TRACKIO_SERVER_URL",
      `expected the address of a Trackio server in the environment, received ${
        address === "" ? "nothing" : "something else"
      }`,
      { hint: "Start one with `trackio show` and give the address with the write token that it prints" },
    );
  }
  const token = url.searchParams.get("write_token") || get("TRACKIO_WRITE_TOKEN") || "";
  if (token === "") {
    throw new ConfigError(
      "TRACKIO_WRITE_TOKEN",
      "expected the server's write token in the environment, received nothing",
      { hint: "Set it, or give the address that `trackio show` prints, which holds the token" },
    );
  }
  return {
    base: `${url.origin}${url.pathname.replace(/\/+$/, "")}`,
    token,
    project: get("TRACKIO_PROJECT") || "speculators",
  };
}
