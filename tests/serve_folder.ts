/** A folder served over HTTP, as a host of modules would. */
import { extname, join } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".ts": "application/typescript",
  ".js": "text/javascript",
  ".wasm": "application/wasm",
  ".wgsl": "text/plain",
  ".json": "application/json",
};

/** Serves files of a folder, and nothing outside of it. */
export function serveFolder(folder: string): { readonly url: string; stop(): Promise<void> } {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const path = join(folder, decodeURIComponent(new URL(request.url).pathname));
    if (!path.startsWith(folder)) return new Response(null, { status: 403 });
    try {
      const body = await Deno.readFile(path);
      return new Response(body, {
        headers: { "content-type": TYPES[extname(path)] ?? "application/octet-stream" },
      });
    } catch {
      return new Response(null, { status: 404 });
    }
  });
  return { url: `http://127.0.0.1:${server.addr.port}`, stop: () => server.shutdown() };
}
