/** Ten thousand broken requests: each is refused in the protocol's words, and the server serves on as before. */
import assert from "node:assert/strict";
import { ServeApp } from "../core/serve/app.ts";
import { openEngine } from "../core/serve/open.ts";
import { createRuntime } from "../mod.ts";
import { PythonRandom } from "../core/data/random.ts";
import type { Backend } from "../core/tensor.ts";
import { SPECULATOR, VERIFIER } from "./cli.ts";

const COUNT = 10_000, KEY = "fuzz";

/** Values that are wrong somewhere. */
const JUNK: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e300,
  -1e300,
  2 ** 53,
  "",
  "x",
  "\ud800",
  "\u0000",
  [],
  {},
  [[]],
  [null],
  [{}],
  ["a", 1],
  { a: { b: 1 } },
  [1, "a"],
  [-1],
  [1e9],
  [[1], ["a"]],
  "a".repeat(5000),
  { role: "user" },
  [{ role: "user" }],
  [{ role: "nobody", content: "x" }],
  [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }],
  [{ role: "user", content: 5 }],
  { __proto__: { model: "x" } },
  { constructor: 1 },
  { include_usage: "yes" },
];

const PATHS = [
  "/../../etc/passwd",
  "/v1/../../../etc/passwd",
  "/%2e%2e/%2e%2e/etc/passwd",
  "/v1/models/%2e%2e%2f%2e%2e",
  "/v1/models/%",
  "/v1/models/%ff",
  "//",
  "/v1",
  "/v1/",
  "/v1/embeddings",
  "/v1/chat",
  `/${"a".repeat(3000)}`,
  "/V1/models",
  "/metrics/",
  "/v1/models/" + "x".repeat(4000),
  "/health?x=%",
  "/.git/config",
  "/v1/chat/completions/extra",
  "/\u00e4",
  "/index.html",
];

const FIELDS = [
  "model",
  "messages",
  "prompt",
  "max_tokens",
  "max_completion_tokens",
  "temperature",
  "top_p",
  "top_k",
  "n",
  "seed",
  "stop",
  "stream",
  "stream_options",
  "logprobs",
  "top_logprobs",
  "echo",
  "tools",
  "response_format",
  "logit_bias",
  "num_spec_tokens",
  "presence_penalty",
  "tokens",
  "add_special_tokens",
  "chat_template_kwargs",
  "stop_token_ids",
  "return_accepted",
  "suffix",
];

/** A request that is broken in one way or another, by the numbers drawn. */
class Breaker {
  readonly #random: PythonRandom;

  constructor(seed: number) {
    this.#random = new PythonRandom(seed);
  }

  #pick<T>(values: readonly T[]): T {
    return values[this.#random.below(values.length)]!;
  }

  request(): Request {
    const path = this.#pick(["/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"]);
    const valid = this.#valid(path), kind = this.#random.below(10), text = JSON.stringify(valid);
    switch (kind) {
      case 0:
        return make(
          path,
          Uint8Array.from({ length: this.#random.below(200) }, () => this.#random.below(256)),
        );
      case 1:
        return make(path, text.slice(0, this.#random.below(text.length)));
      case 2: {
        const at = this.#random.below(text.length);
        return make(
          path,
          text.slice(0, at) + String.fromCharCode(this.#random.below(0x250)) + text.slice(at + 1),
        );
      }
      case 3:
        return make(this.#pick(PATHS), text);
      case 4:
        return make(path, text, {
          "content-type": this.#pick(["text/plain", "", "application/xml", "multipart/form-data"]),
        });
      case 5:
        return make(path, text, {
          authorization: this.#pick([
            "",
            "Bearer",
            "Bearer nope",
            "Basic eDp5",
            `Bearer ${KEY}x`,
            "Bearer \u00ff",
          ]),
        });
      case 6:
        return make(path, JSON.stringify({ ...valid, model: `other ${this.#random.below(99)}` }));
      case 7: {
        const nested = "[".repeat(this.#random.below(20_000));
        return make(
          path,
          this.#pick([nested, `{"messages":${nested}`, `{"prompt":${nested}${nested.replaceAll("[", "]")}}`]),
        );
      }
      case 8:
        return new Request(`http://127.0.0.1${path}`, {
          method: this.#pick(["GET", "PUT", "DELETE", "PATCH", "OPTIONS"]),
          headers: { authorization: `Bearer ${KEY}` },
        });
      default: {
        const broken: Record<string, unknown> = { ...valid };
        for (let i = this.#random.below(3); i >= 0; i--) broken[this.#pick(FIELDS)] = this.#pick(JUNK);
        return make(path, JSON.stringify(broken));
      }
    }
  }

  #valid(path: string): Record<string, unknown> {
    const common = { model: "tiny-verifier", max_tokens: 1 };
    switch (path) {
      case "/v1/chat/completions":
        return { ...common, messages: [{ role: "user", content: "Hello" }] };
      case "/v1/completions":
        return { ...common, prompt: "Hello" };
      case "/tokenize":
        return { prompt: "Hello" };
      default:
        return { tokens: [1, 2, 3] };
    }
  }
}

function make(
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Request {
  return new Request(`http://127.0.0.1${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${KEY}`, ...headers },
    body,
  });
}

Deno.test(`${COUNT} broken requests are refused in the protocol's words, and the server serves on`, async () => {
  const runtime = await createRuntime({ device: "wasm" });
  let backend: Backend;
  const open = await openEngine({ verifierNameOrPath: VERIFIER, speculator: SPECULATOR }, {
    ...runtime,
    openBackend: async () => backend = await runtime.openBackend(),
  });
  const errors: unknown[] = [];
  const app = new ServeApp(open.engine, {
    maxBodyBytes: 64 * 1024,
    bodyTimeoutMs: 1000,
    requestTimeoutMs: 20_000,
    apiKey: KEY,
    localOnly: false,
    onError: (error) => errors.push(error),
  });
  const ask = async () => {
    const body = { prompt: "To be", max_tokens: 8, temperature: 0 };
    return await (await app.handle(make("/v1/completions", JSON.stringify(body)))).json();
  };
  try {
    // Tables of positions grow to the longest text that was allowed, and are kept.
    const longest = { messages: [{ role: "user", content: "Hello" }], temperature: 0 };
    await (await app.handle(make("/v1/chat/completions", JSON.stringify(longest)))).text();
    const before = await ask(),
      live = backend!.memory().live,
      breaker = new Breaker(9),
      statuses: Record<number, number> = {};
    for (let i = 0; i < COUNT; i++) {
      const request = breaker.request(), response = await app.handle(request), text = await response.text();
      statuses[response.status] = (statuses[response.status] ?? 0) + 1;
      assert.ok(
        response.status < 500,
        `${request.method} ${request.url.slice(0, 200)}: ${text.slice(0, 300)} ${errors}`,
      );
      if (response.status < 400) continue;
      const { error } = JSON.parse(text);
      assert.deepEqual(Object.keys(error), ["message", "type", "param", "code"]);
      assert.ok(error.message.length > 0 && text.length < 2000);
    }
    const { choices } = await ask();
    assert.deepEqual(choices, before.choices);
    assert.equal(backend!.memory().live, live);
    const { running, waiting } = open.engine.scheduler.stats();
    assert.deepEqual([running, waiting, app.active, errors], [0, 0, 0, []]);
    for (const status of [400, 401, 404, 405, 415]) {
      assert.ok(statuses[status]! > 100, JSON.stringify(statuses));
    }
    assert.ok((statuses[200] ?? 0) < COUNT / 5, JSON.stringify(statuses));
  } finally {
    await app.close();
    open[Symbol.dispose]();
  }
});
