/** A server over the embedded verifier, for tests. */
import { createRuntime, serve, type Server, type ServerOptions } from "../mod.ts";
import { readEvents } from "../core/load/events.ts";
import { SPECULATOR, VERIFIER } from "./cli.ts";

/** How it is served; `null` for no draft. */
export type TestServeOptions = Partial<Omit<ServerOptions, "speculator">> & {
  readonly speculator?: string | null;
};

/** Runs something with a server that has a draft, and closes it. */
export async function withServer(
  run: (server: Server) => Promise<void>,
  { speculator = SPECULATOR, ...options }: TestServeOptions = {},
): Promise<void> {
  const runtime = await createRuntime({ device: "wasm" });
  await using server = await serve({
    verifierNameOrPath: VERIFIER,
    ...(speculator === null ? {} : { speculator }),
    port: 0,
    ...options,
  }, runtime);
  await run(server);
}

/** Posts JSON. */
export async function post(
  server: Pick<Server, "address">,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return await fetch(`${server.address}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

/** The data of a stream's events. */
export async function eventsOf(response: Response): Promise<string[]> {
  const found: string[] = [];
  for await (const data of readEvents(response.body!)) found.push(data);
  return found;
}
