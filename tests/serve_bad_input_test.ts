/** What clients do to a server over a socket: too much, too slow, half, gone. Each time it serves on. */
import assert from "node:assert/strict";
import { PythonRandom } from "../core/data/random.ts";
import type { Server } from "../mod.ts";
import { eventsOf, post, withServer } from "./serve.ts";

const CHAT = "/v1/chat/completions";
/** A text that takes long. */
const LONG = { prompt: "To be", max_tokens: 1000, temperature: 0, ignore_eos: true };

/** That the server answers as it should, and nothing is left of what was before. */
async function servesOn(server: Server): Promise<void> {
  for (let tries = 0; server.active > 0; tries++) {
    assert.ok(tries < 200, `${server.active} requests are still being answered`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  const response = await post(server, "/v1/completions", { prompt: "To be", max_tokens: 3, temperature: 0 });
  assert.equal((await response.json()).usage.completion_tokens, 3);
  assert.deepEqual([
    await figure(server, "num_requests_running"),
    await figure(server, "num_requests_waiting"),
  ], [0, 0]);
}

async function figure(server: Server, name: string): Promise<number> {
  const text = await (await fetch(`${server.address}/metrics`)).text();
  return Number(new RegExp(`^vllm:${name}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(text)![1]);
}

async function refused(response: Response, status: number, message: RegExp): Promise<void> {
  const { error } = await response.json();
  assert.equal(response.status, status, error.message);
  assert.deepEqual(Object.keys(error), ["message", "type", "param", "code"]);
  assert.match(error.message, message);
}

/** Sends bytes as they are and gives what comes back until the other side closes, or the time is over. */
async function raw(
  server: Server,
  bytes: string | Uint8Array,
  options: { readonly waitMs?: number } = {},
): Promise<string> {
  const connection = await Deno.connect({
    hostname: "127.0.0.1",
    port: Number(new URL(server.address).port),
  });
  let found = "", closed = false;
  const close = () => {
    if (!closed) connection.close();
    closed = true;
  };
  const timer = setTimeout(close, options.waitMs ?? 300), buffer = new Uint8Array(65536);
  try {
    await connection.write(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes);
    for (;;) {
      const read = await connection.read(buffer);
      if (read === null) break;
      found += new TextDecoder().decode(buffer.subarray(0, read));
    }
  } catch {
    // Cut by either side.
  } finally {
    clearTimeout(timer);
    close();
  }
  return found;
}

function http(server: Server, head: string, body = ""): string {
  return `${head} HTTP/1.1\r\nhost: ${new URL(server.address).host}\r\ncontent-type: application/json\r\n` +
    `content-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`;
}

Deno.test("a body of 100 MB is refused, announced or not", () =>
  withServer(async (server) => {
    const bytes = new Uint8Array(1_000_000).fill(32), headers = { "content-type": "application/json" };
    const known = await fetch(`${server.address}${CHAT}`, {
      method: "POST",
      headers,
      body: new Blob(new Array(100).fill(bytes)),
    });
    await refused(known, 413, /at most 1048576 bytes/);
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => sent++ < 100 ? controller.enqueue(bytes) : controller.close(),
    });
    // Whoever goes on sending may see the connection cut before the answer.
    const unknown = await fetch(`${server.address}${CHAT}`, { method: "POST", headers, body }).catch(() =>
      null
    );
    if (unknown) await refused(unknown, 413, /at most 1048576 bytes/);
    assert.ok(sent < 50, `${sent} MB were taken`);
    await servesOn(server);
  }, { maxBodyBytes: 1024 * 1024 }));

Deno.test("a body that does not come in time is refused", () =>
  withServer(async (server) => {
    const head = http(server, `POST ${CHAT}`).replace("content-length: 0", "content-length: 500");
    const found = await raw(server, `${head}{"messages"`, { waitMs: 1500 });
    assert.match(found, /^HTTP\/1\.1 408 .*"Expected the body within 0\.3 s/s);
    await servesOn(server);
  }, { bodyTimeout: 0.3 }));

Deno.test("who leaves, in the middle of a stream or before an answer, frees what was theirs", () =>
  withServer(async (server) => {
    for (const stream of [true, false]) {
      const stop = new AbortController();
      const asked = fetch(`${server.address}/v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ...LONG, stream }),
        signal: stop.signal,
      });
      if (stream) {
        const reader = (await asked).body!.getReader();
        await reader.read();
        await reader.read();
      } else while (await figure(server, "num_requests_running") === 0);
      assert.equal(server.active, 1);
      stop.abort();
      await asked.catch(() => {});
      await servesOn(server);
    }
    const text = await (await fetch(`${server.address}/metrics`)).text();
    assert.match(text, /request_success_total\{[^}]*finished_reason="abort"\} 2\n/);
    assert.ok(await figure(server, "generation_tokens_total") < 1500);
  }));

Deno.test("too many at once are refused with when to come again, and the others answered", () =>
  withServer(async (server) => {
    const body = { prompt: "To be", max_tokens: 30, temperature: 0, ignore_eos: true };
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => post(server, "/v1/completions", body)),
    );
    const texts = new Set<string>();
    let refusals = 0;
    for (const answer of answers) {
      if (answer.status === 200) texts.add((await answer.json()).choices[0].text);
      else {
        refusals++;
        assert.equal(answer.headers.get("retry-after"), "1");
        await refused(answer, 429, /Too many requests/);
      }
    }
    assert.equal(texts.size, 1);
    assert.ok(refusals >= 1 && refusals <= 7, `${refusals} of 12`);
    await refused(await post(server, "/v1/completions", { ...body, n: 6 }), 429, /Too many requests/); // all or none
    await servesOn(server);
  }, { maxSequences: 2, maxQueue: 3 }));

Deno.test("a request that takes too long is ended, with a status or with an event", () =>
  withServer(async (server) => {
    await refused(await post(server, "/v1/completions", LONG), 503, /within 0\.2 s/);
    const events = await eventsOf(await post(server, "/v1/completions", { ...LONG, stream: true }));
    assert.match(JSON.parse(events.at(-1)!).error.message, /within 0\.2 s/);
    assert.ok(events.length > 2);
    await servesOn(server);
  }, { requestTimeout: 0.2 }));

Deno.test("pages of others are not answered, and keys are looked at before anything else", () =>
  withServer(async (server) => {
    const ask = async (headers: Record<string, string>) => {
      const response = await post(server, "/v1/completions", { prompt: "a", max_tokens: 1 }, headers);
      await response.body?.cancel();
      return response.status;
    };
    const as = (host: string) =>
      raw(server, `GET /v1/models HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
    assert.match(await as("evil.example:80"), /^HTTP\/1\.1 403 .*permission_error/s);
    assert.match(await as("localhost"), /^HTTP\/1\.1 200 /);
    assert.equal(await ask({ origin: "http://evil.example" }), 403);
    assert.equal(await ask({ origin: "null" }), 403);
    assert.equal(await ask({ origin: server.address }), 200);
    assert.equal(await ask({ "content-type": "text/plain" }), 415);
    await servesOn(server);
  }));

Deno.test("with a key, all but the page and the health need it", () =>
  withServer(async (server) => {
    const open: string[] = [];
    for (const path of ["/", "/health", "/metrics", "/v1/models", "/tokenize", CHAT, "/none"]) {
      const response = await fetch(`${server.address}${path}`);
      await response.body?.cancel();
      if (response.status === 200) open.push(path);
      else assert.equal(response.status, 401, path);
    }
    assert.deepEqual(open, ["/", "/health"]);
    const headers = (key: string) => ({ authorization: `Bearer ${key}` });
    const right = await post(server, "/tokenize", { prompt: "a" }, headers("s3cret"));
    assert.deepEqual([right.status, (await right.json()).count], [200, 1]);
    await refused(await post(server, "/tokenize", { prompt: "a" }, headers("s3cre")), 401, /another/);
  }, { apiKey: "s3cret" }));

Deno.test("hundreds of connections with what is no request, or half of one, do no harm", () =>
  withServer(async (server) => {
    const random = new PythonRandom(4),
      whole = http(server, `POST ${CHAT}`, '{"messages": [{"role": "user", "content": "x"}]}');
    const make = (i: number): string | Uint8Array => {
      switch (i % 6) {
        case 0:
          return Uint8Array.from({ length: 1 + random.below(300) }, () => random.below(256));
        case 1:
          return whole.slice(0, 1 + random.below(whole.length - 1));
        case 2:
          return http(server, "GET /../../../../etc/passwd");
        case 3:
          return http(server, `POST ${CHAT}`, "{".repeat(1 + random.below(2000)));
        case 4:
          return `GET / HTTP/1.1\r\nx: ${"a".repeat(random.below(100_000))}\r\n\r\n`;
        default:
          return http(
            server,
            `${["BREW", "GET", "CONNECT"][random.below(3)]} /${String.fromCharCode(33 + random.below(90))}`,
          );
      }
    };
    for (let round = 0; round < 20; round++) {
      const found = await Promise.all(
        Array.from({ length: 20 }, (_, i) => raw(server, make(20 * round + i), { waitMs: 60 })),
      );
      for (const text of found) assert.doesNotMatch(text, /root:|^HTTP\/1\.1 5/);
    }
    await servesOn(server);
  }));

Deno.test("a server that is closed finishes what runs and refuses what waits and what comes", () =>
  withServer(async (server) => {
    const body = { prompt: "To be", max_tokens: 900, temperature: 0, ignore_eos: true };
    const running = await post(server, "/v1/completions", { ...body, stream: true });
    const waiting = post(server, "/v1/completions", body);
    while (await figure(server, "num_requests_waiting") === 0);
    const closing = server.close();
    await refused(await waiting, 503, /shut down/);
    const late = await post(server, "/v1/completions", body).catch(() => null);
    if (late) await refused(late, 503, /shut down/);
    const events = await eventsOf(running);
    assert.equal(events.at(-1), "[DONE]");
    assert.equal(JSON.parse(events.at(-2)!).choices[0].finish_reason, "length");
    await closing;
    await assert.rejects(fetch(`${server.address}/health`));
  }, { maxSequences: 1 }));
