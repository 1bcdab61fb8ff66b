import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { createRuntime } from "../../mod.ts";
import { ServeApp, type ServeAppOptions } from "./app.ts";
import { openEngine } from "./open.ts";

const VERIFIER = fileURLToPath(new URL("../../examples/assets/tiny-verifier", import.meta.url));

async function withApp(
  options: Partial<ServeAppOptions>,
  run: (app: ServeApp, engine: Awaited<ReturnType<typeof openEngine>>["engine"]) => Promise<void>,
): Promise<void> {
  using open = await openEngine({ verifierNameOrPath: VERIFIER }, await createRuntime({ device: "wasm" }));
  const app = new ServeApp(open.engine, {
    maxBodyBytes: 1e6,
    bodyTimeoutMs: 1000,
    requestTimeoutMs: 60_000,
    localOnly: false,
    ...options,
  });
  try {
    await run(app, open.engine);
  } finally {
    await app.close();
  }
}

function request(path: string, body: unknown): Request {
  return new Request(`http://127.0.0.1${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

Deno.test("a client that does not read its stream is cut off when its time is over", () =>
  withApp({ requestTimeoutMs: 100 }, async (app, { scheduler }) => {
    const body = { prompt: "To be", max_tokens: 1000, ignore_eos: true, stream: true };
    const response = await app.handle(request("/v1/completions", body));
    assert.equal(app.active, 1);
    const begun = performance.now();
    while (app.active > 0 && performance.now() - begun < 10_000) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal(app.active, 0);
    assert.equal(scheduler.stats().running, 0);
    await assert.rejects(response.text());
  }));

Deno.test("an answer begins as the model's makers sample, and templates are shown what a chat says", () =>
  withApp({}, async (app, engine) => {
    assert.deepEqual(engine.sampling, { temperature: 1 });
    const parts = [{ type: "text", text: "Good" }, { type: "text", text: "morrow" }];
    const tokens = async (messages: unknown) =>
      (await (await app.handle(request("/tokenize", { messages }))).json()).tokens;
    assert.deepEqual(
      await tokens([{ role: "user", content: parts }]),
      await tokens([{ role: "user", content: "Good\nmorrow", unknown: { deep: [1] } }]),
    );
    const expected = engine.text.render([{ role: "assistant", content: "" }], { addGenerationPrompt: true });
    assert.deepEqual(await tokens([{ role: "assistant", content: null }]), [
      ...engine.text.encode(expected).ids,
    ]);
  }));

Deno.test("an error that nobody foresaw is told to the server's log, not to the client", async () => {
  const errors: unknown[] = [];
  await withApp({ onError: (error) => errors.push(error) }, async (app, { scheduler }) => {
    const oops = new TypeError("at /secret/path");
    scheduler.submit = () => {
      throw oops;
    };
    const response = await app.handle(request("/v1/completions", { prompt: "a" }));
    assert.equal(response.status, 500);
    assert.doesNotMatch(await response.text(), /secret/);
    assert.deepEqual(errors, [oops]);
  });
});
