import assert from "node:assert/strict";
import { cutOff } from "../tests/chat_stand_in.ts";
import { AbortedError, EndpointError } from "./errors.ts";
import { type JsonRequest, pauseFor, requestJson } from "./json_request.ts";

/** Asks a server whose n-th answer is made by `answer`. Gives how often it was asked. */
async function asked(
  answer: (n: number, request: Request) => Response | Promise<Response>,
  options: JsonRequest,
  check: (result: Promise<Readonly<Record<string, unknown>>>) => Promise<unknown>,
): Promise<number> {
  let count = 0;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const made = await answer(count++, request);
    if (!request.bodyUsed) await request.body?.cancel();
    return made;
  });
  try {
    await check(requestJson(`http://127.0.0.1:${server.addr.port}/x`, { backoffMs: 1, ...options }));
  } finally {
    await server.shutdown();
  }
  return count;
}

Deno.test("a body goes by POST with its headers, and nothing by GET", async () => {
  const echo = async (_: number, request: Request) =>
    Response.json({ method: request.method, key: request.headers.get("x-key"), text: await request.text() });
  await asked(echo, { body: { a: 1 }, headers: { "x-key": "k" } }, async (result) => {
    assert.deepEqual(await result, { method: "POST", key: "k", text: '{"a":1}' });
  });
  await asked(echo, {}, async (result) => {
    assert.deepEqual(await result, { method: "GET", key: null, text: "" });
  });
});

Deno.test("what may pass is tried again, as often as it may be and no oftener", async () => {
  const failures = [500, 502, 503, 408, 409, 425, 429].map((status) => () =>
    new Response("later", { status })
  );
  for (const failure of [...failures, () => cutOff('{"a":'), () => new Response('{"a":')]) {
    const answer = (n: number) => n < 2 ? failure() : Response.json({ n });
    const count = await asked(
      answer,
      { tries: 3 },
      async (result) => assert.deepEqual(await result, { n: 2 }),
    );
    assert.equal(count, 3);
    assert.equal(await asked(answer, { tries: 2 }, (result) => assert.rejects(result, EndpointError)), 2);
  }
});

Deno.test("a refusal is told at once, with the server's words", async () => {
  const words = [
    [JSON.stringify({ error: { message: "Too long." } }), /received status 400: Too long$/],
    [JSON.stringify({ message: "Too\n long" }), /received status 400: Too long$/],
    [
      JSON.stringify({ detail: [{ msg: "field required" }] }),
      /received status 400: \[\{"msg":"field required"\}\]$/,
    ],
    ["plain", /received status 400: plain$/],
    ["", /received status 400$/],
  ] as const;
  for (const [text, message] of words) {
    const count = await asked(
      () => new Response(text, { status: 400 }),
      {},
      (result) =>
        assert.rejects(result, (error) => {
          assert.ok(error instanceof EndpointError);
          assert.equal(error.status, 400);
          assert.match(error.message, message);
          return true;
        }),
    );
    assert.equal(count, 1);
  }
  await asked(
    () => new Response(null, { status: 401 }),
    {},
    (result) =>
      assert.rejects(result, (error) => error instanceof EndpointError && /key/.test(error.hint ?? "")),
  );
});

Deno.test("an answer that is no object, or too long, is refused", async () => {
  for (const text of ["[1]", "3", "null"]) {
    await asked(() => new Response(text), {}, (result) => assert.rejects(result, /expected a JSON object/));
  }
  const endless = () =>
    new Response(new ReadableStream({ pull: (to) => to.enqueue(new Uint8Array(4096).fill(32)) }));
  await asked(endless, { maxBytes: 100_000 }, (result) => assert.rejects(result, /at most 100000 bytes/));
});

Deno.test("the pause that a server asks for is kept", async () => {
  const answer = (n: number) =>
    n === 0 ? new Response("", { status: 429, headers: { "retry-after": "0.2" } }) : Response.json({});
  const start = performance.now();
  await asked(answer, {}, async (result) => assert.deepEqual(await result, {}));
  assert.ok(performance.now() - start >= 190);
});

Deno.test("silence ends after a while, and a signal at once", async () => {
  const silent = async () => {
    await pauseFor(300);
    return Response.json({});
  };
  await asked(silent, { timeoutMs: 50, tries: 1 }, (result) => assert.rejects(result, /within 0.05 s/));
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 20);
  await asked(silent, { signal: stop.signal }, (result) => assert.rejects(result, AbortedError));
  clearTimeout(timer);
  await assert.rejects(requestJson("http://127.0.0.1:1/", { signal: stop.signal }), AbortedError);
  await assert.rejects(pauseFor(10_000, stop.signal), AbortedError);
});
