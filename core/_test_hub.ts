/**
 * A server that behaves like the Hugging Face hub, for tests.
 *
 * @module
 */
import { createHash } from "node:crypto";

/** The commit of everything that it has. */
export const SHA: string = "0123456789abcdef0123456789abcdef01234567";

/** A request as the hub saw it. */
export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly range: string | null;
  readonly token: string | null;
}

/** The server; it has one model, `some/draft`. */
export interface Hub extends AsyncDisposable {
  readonly endpoint: string;
  readonly seen: Seen[];
}

/** How a hub misbehaves. */
export interface HubOptions {
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Files of its one data set, `some/data`, by revision. */
  readonly data?: Readonly<Record<string, Readonly<Record<string, Uint8Array>>>>;
  /** Connections of large files that break off after this many bytes, the first ones. */
  readonly breaks?: number;
  readonly breakAfter?: number;
  /** Sends other bytes than it announces. */
  readonly damaged?: boolean;
  /** Asks for this token. */
  readonly token?: string;
  /** Answers every request with this status. */
  readonly status?: number;
  /** Knows no ranges. */
  readonly noRanges?: boolean;
}

/** Git's hash of a file, by which the hub names small ones. */
export const git = (bytes: Uint8Array): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
/** SHA-256 of a file, by which the hub names large ones. */
export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The commit of a revision of its data set. */
export const commitOf = (revision: string): string => createHash("sha1").update(revision).digest("hex");

/** A server that answers as the hub does: a listing, redirects of large files to another host, ranges. */
export function startHub(options: HubOptions): Hub {
  const { files } = options, seen: Seen[] = [];
  let breaks = options.breaks ?? 0;
  const storage = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const url = new URL(request.url), name = url.pathname.slice(1);
    note(request, `storage/${name}`);
    let bytes = files[name]!;
    if (options.damaged) bytes = bytes.map((byte) => byte ^ 1);
    const from = options.noRanges
      ? 0
      : Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
    const headers: Record<string, string> = {
      "content-length": String(bytes.length - from),
      ...(from > 0 ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
    };
    const rest = bytes.slice(from), status = from > 0 ? 206 : 200;
    if (breaks-- <= 0) return new Response(rest, { status, headers });
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(rest.slice(0, options.breakAfter ?? 1000));
        controller.close();
      },
    });
    // Without its length, or the server itself would refuse to break off.
    const { "content-length": _, ...others } = headers;
    return new Response(body, { status, headers: others });
  });
  const elsewhere = `http://127.0.0.1:${storage.addr.port}`;
  const hub = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const { pathname } = new URL(request.url);
    note(request, pathname.slice(1));
    if (options.status !== undefined) return new Response("no", { status: options.status });
    if (options.token !== undefined && request.headers.get("authorization") !== `Bearer ${options.token}`) {
      return new Response("who are you", { status: 401 });
    }
    if (/^\/api\/models\/some\/draft\/revision\/(main|v1)$/.test(pathname)) {
      const siblings = Object.keys(files).map((rfilename) => ({ rfilename }));
      return Response.json({ sha: SHA, siblings: [...siblings, { rfilename: "../outside" }] });
    }
    const listed = /^\/api\/datasets\/some\/data\/revision\/([^/]+)$/.exec(pathname)?.[1];
    if (listed !== undefined) {
      const revision = decodeURIComponent(listed), found = options.data?.[revision];
      if (!found) return new Response("nothing", { status: 404 });
      const siblings = [...Object.keys(found), "../outside.parquet"].map((rfilename) => ({ rfilename }));
      return Response.json({ sha: commitOf(revision), siblings });
    }
    const [, commit, path] = /^\/datasets\/some\/data\/resolve\/([0-9a-f]{40})\/(.+)$/.exec(pathname) ?? [];
    if (commit !== undefined) {
      const revision = Object.keys(options.data ?? {}).find((name) => commitOf(name) === commit) ?? "";
      const found = options.data?.[revision]?.[decodeURI(path!)];
      if (!found) return new Response("nothing", { status: 404 });
      return new Response(request.method === "HEAD" ? null : found.slice(), {
        headers: { etag: `"${git(found)}"`, "content-length": String(found.length) },
      });
    }
    const [, name] = /^\/some\/draft\/resolve\/[0-9a-f]{40}\/(.+)$/.exec(pathname) ?? [];
    const bytes = name === undefined ? undefined : files[name];
    if (name === undefined || bytes === undefined) return new Response("nothing", { status: 404 });
    if (!/\.(safetensors|bin)$/.test(name)) {
      return new Response(request.method === "HEAD" ? null : bytes.slice(), {
        headers: { etag: `"${git(bytes)}"`, "content-length": String(bytes.length) },
      });
    }
    return new Response(null, {
      status: 302,
      headers: {
        location: `${elsewhere}/${name}`,
        "x-linked-etag": `"${sha256(bytes)}"`,
        "x-linked-size": String(bytes.length),
        "x-repo-commit": SHA,
      },
    });
  });
  function note(request: Request, path: string): void {
    const { headers, method } = request;
    seen.push({ method, path, range: headers.get("range"), token: headers.get("authorization") });
  }
  return {
    endpoint: `http://127.0.0.1:${hub.addr.port}`,
    seen,
    async [Symbol.asyncDispose]() {
      await hub.shutdown();
      await storage.shutdown();
    },
  };
}
