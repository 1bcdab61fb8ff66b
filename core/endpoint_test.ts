import assert from "node:assert/strict";
import { apiBase, servedModel } from "./endpoint.ts";
import { ConfigError, EndpointError, NotFoundError } from "./errors.ts";

Deno.test("an address may be that of the server, of the protocol or of a part of it", () => {
  for (const part of ["", "/", "/v1", "/v1/", "/v1/chat/completions", "/v1/completions", "/v1/models/"]) {
    assert.equal(apiBase(`http://127.0.0.1:8000${part}`), "http://127.0.0.1:8000/v1");
  }
  assert.equal(apiBase("https://host/api"), "https://host/api/v1");
  assert.equal(apiBase("https://host/openai/chat/completions"), "https://host/openai");
  assert.equal(apiBase("https://host/api/v3"), "https://host/api/v3");
  for (const wrong of ["127.0.0.1:8000", "localhost:8000", "", "file:///etc", "host"]) {
    assert.throws(() => apiBase(wrong), ConfigError);
  }
});

async function served(body: unknown, wanted?: string): Promise<unknown> {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () => Response.json(body));
  try {
    return await servedModel(`http://127.0.0.1:${server.addr.port}/v1`, {
      backoffMs: 1,
      ...(wanted === undefined ? {} : { wanted }),
    });
  } finally {
    await server.shutdown();
  }
}

Deno.test("the model is the one that is wanted, or the first", async () => {
  const data = [{ id: "a", max_model_len: 7 }, { id: "b" }];
  assert.deepEqual(await served({ data }), { id: "a", maxTokens: 7 });
  assert.deepEqual(await served({ data }, "b"), { id: "b", maxTokens: null });
  await assert.rejects(
    served({ data }, "c"),
    (error) => error instanceof NotFoundError && /a, b/.test(error.message),
  );
  await assert.rejects(served({ data: [] }), NotFoundError);
  await assert.rejects(served({ data: [null, 3, { id: 4 }] }), NotFoundError);
  await assert.rejects(served({ models: [] }), EndpointError);
  assert.deepEqual(await served({ data: [{ id: "a", max_model_len: -1 }] }), { id: "a", maxTokens: null });
});
